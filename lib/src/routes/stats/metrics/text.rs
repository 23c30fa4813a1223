//! Prometheus's text format: families with help and type, samples with labels.

use std::fmt::Write;

use crate::store::Histogram;

/// The upper bounds of a histogram's buckets, in seconds.
const BOUNDS: [f64; 13] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// What a family holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text so far. Writing to a text cannot fail, so nothing is asked.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    family: String,
}

impl Text {
    /// Begins a family: what follows are its samples.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.family = name.to_owned();
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// One sample of the family, its name ended by `suffix`.
    pub(super) fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let name = format!("{}{suffix}", self.family);
        self.line(format_args!("{name}{labels} {value}"));
    }

    /// A whole histogram of the family.
    pub(super) fn histogram(&mut self, label: (&str, &str), times: &Histogram, seconds: f64) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in f64")]
        let float = |count: u64| count as f64;
        for bound in BOUNDS {
            self.sample("_bucket", &[label, ("le", &bound.to_string())], float(times.up_to(bound)));
        }
        self.sample("_bucket", &[label, ("le", "+Inf")], float(times.count()));
        self.sample("_sum", &[label], seconds);
        self.sample("_count", &[label], float(times.count()));
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _cannot_fail = writeln!(self.text, "{line}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_stay_within_their_quotes() {
        let mut text = Text::default();
        text.family("x_total", Kind::Counter, "X.");
        text.sample("", &[("name", "a\"b\\c\nd")], 3.0);
        text.sample("", &[], 0.25);
        let expect = "# HELP x_total X.\n# TYPE x_total counter\nx_total{name=\"a\\\"b\\\\c\\nd\"} 3\nx_total 0.25\n";
        assert_eq!(text.finish(), expect);
    }
}
