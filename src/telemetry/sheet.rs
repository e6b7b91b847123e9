//! A page of metrics in Prometheus' text format, written family by family at a scrape.
//!
//! What is counted elsewhere, or can be asked for at any time, is written here and kept nowhere.

use std::fmt::{Display, Write};

/// The page so far.
#[derive(Debug, Default)]
pub struct Sheet {
    text: String,
}

/// What kind of numbers a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Samples of one name.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Sheet {
    /// A page that begins with `text`.
    pub fn after(text: String) -> Sheet {
        Sheet { text }
    }

    /// Begins a family; its samples follow.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text: &mut self.text, name }
    }

    /// A family with one sample without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    pub fn into_text(self) -> String {
        self.text
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        // A `String` takes everything.
        let _ = self.text.write_fmt(arguments);
    }
}

impl Family<'_> {
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample_of("", labels, value);
    }

    /// A sample of a name that goes on by `end`, as those of a histogram do.
    pub fn sample_of(&mut self, end: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(end);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        // A `String` takes everything.
        let _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_prometheus_reads_it() {
        let mut sheet = Sheet::after("a 1\n".to_owned());
        sheet.single("b_total", Kind::Counter, "Some.", 2);
        let mut family = sheet.family("c_seconds", Kind::Histogram, "Others.");
        family.sample_of("_bucket", &[("d", "e\"\\\n"), ("le", "+Inf")], 3);
        family.sample_of("_sum", &[], 0.5);
        insta::assert_snapshot!(sheet.into_text(), @r#"
        a 1
        # HELP b_total Some.
        # TYPE b_total counter
        b_total 2
        # HELP c_seconds Others.
        # TYPE c_seconds histogram
        c_seconds_bucket{d="e\"\\\n",le="+Inf"} 3
        c_seconds_sum 0.5
        "#);
    }
}
