//! Memory of processes as the kernel shares it out: what several map is counted in parts (PSS).

use std::fs;

use crate::cpu;

/// KiB of each backend and helper of one Postgres cluster, and of the postmaster.
pub(crate) fn of_cluster_kib(postmaster: u32) -> Result<Vec<u64>, String> {
    let mut all = vec![of_process_kib(postmaster)?];
    // One that ended since it was listed has none.
    all.extend(cpu::children(postmaster)?.into_iter().filter_map(|id| of_process_kib(id).ok()));
    Ok(all)
}

pub(crate) fn of_process_kib(id: u32) -> Result<u64, String> {
    let path = format!("/proc/{id}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    parse(&text).ok_or_else(|| format!("{path} names no Pss"))
}

fn parse(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pss_is_read_from_a_rollup() {
        let text = "00400000-7fff rollup\nRss:   9000 kB\nPss:    1234 kB\nPss_Dirty:  99 kB\n";
        assert_eq!(parse(text), Some(1_234));
        assert_eq!(parse("Rss: 1 kB\n"), None);
        assert!(of_process_kib(std::process::id()).is_ok_and(|kib| kib > 100));
    }
}
