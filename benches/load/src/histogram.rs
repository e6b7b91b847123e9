//! Latencies, counted in buckets that grow with the value.
//!
//! Each doubling is split into 64 buckets, so a quantile is right to 1.6 %; adding a value is two
//! shifts and an increment, whatever was added before.

use std::time::Duration;

const BITS: u32 = 6;
const PER_DOUBLING: u64 = 1 << BITS;
const BUCKETS: usize = ((64 - BITS as usize) + 1) << BITS;

/// Counts of nanoseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0 }
    }

    pub(crate) fn add(&mut self, value: Duration) {
        let nanoseconds = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanoseconds)) {
            *count += 1;
            self.total += 1;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The microseconds that `share` (0 to 1) of the values do not exceed; 0 when there are none.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_bound(index) as f64 / 1_000.0;
            }
        }
        0.0
    }
}

fn bucket(value: u64) -> usize {
    if value < PER_DOUBLING {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - BITS;
    // The top bit is always set, so the shifted value is in PER_DOUBLING..2 * PER_DOUBLING.
    (u64::from(shift) * PER_DOUBLING + (value >> shift)) as usize
}

fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * PER_DOUBLING {
        return index;
    }
    let shift = index / PER_DOUBLING - 1;
    let low = (index - shift * PER_DOUBLING) << shift;
    low + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_as_narrow_as_promised() {
        let mut value = 1_u64;
        let mut previous = 0;
        while value < 1 << 62 {
            let index = bucket(value);
            assert!(index >= previous && index < BUCKETS, "{value}");
            let upper = upper_bound(index);
            assert!(upper >= value, "{value} lies above {upper}");
            assert!((upper - value) as f64 <= value as f64 / 64.0 + 1.0, "{value} is counted as {upper}");
            assert!(bucket(upper) == index && bucket(upper + 1) == index + 1, "{value}");
            previous = index;
            value += value / 7 + 1;
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::new();
        let values: Vec<u64> = (1..=10_000).map(|n| n * 137).collect();
        for value in &values {
            histogram.add(Duration::from_nanos(*value));
        }
        for share in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let exact = values[(values.len() as f64 * share).ceil() as usize - 1] as f64 / 1_000.0;
            let seen = histogram.quantile_us(share);
            assert!(seen >= exact && seen <= exact * 1.016 + 0.001, "{share}: {seen} instead of {exact}");
        }
        assert_eq!(histogram.total(), 10_000);
    }
}
