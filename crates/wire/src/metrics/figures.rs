//! Metrics and their values, and the text that Prometheus reads.
//!
//! Invariants: every metric of a program is on its page, also while it has no value; one value for each set of labels;
//! the order is that of the list of metrics and of the labels, so that two pages can be compared.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// What a value may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It goes up, and begins anew with the program or its database.
    Counter,
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name: `lumbung_…`, with its unit at the end; a counter's ends with `_total`.
    pub name: &'static str,
    /// What its value may do.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

impl Metric {
    /// A metric whose value goes up and down.
    #[must_use]
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }

    /// A metric whose value goes up.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }
}

#[derive(Debug)]
struct Family {
    metric: Metric,
    values: BTreeMap<Vec<String>, f64>,
}

/// The figures of one moment.
#[derive(Debug, Default)]
pub struct Figures(Vec<Family>);

impl Figures {
    /// Figures of these metrics, without any value yet.
    #[must_use]
    pub fn new(metrics: &[Metric]) -> Self {
        let family = |metric: &Metric| Family { metric: *metric, values: BTreeMap::new() };
        Self(metrics.iter().map(family).collect())
    }

    fn family(&mut self, metric: &Metric) -> &mut Family {
        let known = self.0.iter().position(|family| family.metric.name == metric.name);
        let index = known.unwrap_or_else(|| {
            self.0.push(Family { metric: *metric, values: BTreeMap::new() });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// Adds to the value under these labels, which begins at 0.
    pub fn add(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "labels of {}", metric.name);
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        *self.family(metric).values.entry(labels).or_insert(0.0) += value;
    }

    /// Sets the value under these labels.
    pub fn set(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "labels of {}", metric.name);
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.family(metric).values.insert(labels, value);
    }

    /// Sets a count.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
    pub fn count(&mut self, metric: &Metric, labels: &[&str], value: u64) {
        self.set(metric, labels, value as f64);
    }

    /// Sets a time; one that is not known has no value.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
    pub fn time(
        &mut self,
        metric: &Metric,
        labels: &[&str],
        time: Option<lumbung_model::Timestamp>,
    ) {
        if let Some(time) = time {
            self.set(metric, labels, time.0 as f64);
        }
    }

    /// Sets 1 for yes and 0 for no.
    pub fn flag(&mut self, metric: &Metric, labels: &[&str], yes: bool) {
        self.set(metric, labels, f64::from(u8::from(yes)));
    }

    /// The value under these labels, if it has one.
    #[must_use]
    pub fn get(&self, metric: &Metric, labels: &[&str]) -> Option<f64> {
        let family = self.0.iter().find(|family| family.metric.name == metric.name)?;
        let same = |known: &&Vec<String>| known.iter().eq(labels.iter());
        family.values.keys().find(same).and_then(|known| family.values.get(known)).copied()
    }

    /// In Prometheus' text format 0.0.4, which `promtool check metrics` reads too.
    #[must_use]
    pub fn into_text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("a string takes whatever is written");
        text
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Family { metric, values } in &self.0 {
            let (name, kind) = match metric.kind {
                Kind::Gauge => (metric.name, MetricType::Gauge),
                // The encoder gives a counter its ending.
                Kind::Counter => (metric.name.trim_end_matches("_total"), MetricType::Counter),
            };
            let mut samples = encoder.encode_descriptor(name, metric.help, None, kind)?;
            for (labels, value) in values {
                let labels: Vec<(&str, &str)> =
                    metric.labels.iter().copied().zip(labels.iter().map(String::as_str)).collect();
                let mut sample = samples.encode_family(&labels)?;
                match metric.kind {
                    Kind::Gauge => sample.encode_gauge(value)?,
                    Kind::Counter => sample.encode_counter::<NoLabelSet, f64, f64>(value, None)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATASETS: Metric = Metric::gauge("lumbung_test_datasets", &["pd", "step"], "Datasets.");
    const BEATS: Metric = Metric::counter("lumbung_test_beats_total", &[], "Beats.");
    const EMPTY: Metric = Metric::gauge("lumbung_test_empty", &["x"], "Nothing.");

    #[test]
    fn a_page_has_every_metric_in_its_order() {
        let mut figures = Figures::new(&[EMPTY, DATASETS, BEATS]);
        figures.count(&BEATS, &[], 1 << 40);
        figures.add(&DATASETS, &["RSUD \"A\"\\", "met"], 1.0);
        figures.add(&DATASETS, &["DINKES", "met"], 2.0);
        figures.add(&DATASETS, &["DINKES", "met"], 1.5);
        figures.time(&EMPTY, &["never"], None);
        assert_eq!(figures.get(&DATASETS, &["DINKES", "met"]), Some(3.5));
        assert_eq!(figures.get(&DATASETS, &["DINKES", "late"]), None);
        let expected = "# HELP lumbung_test_empty Nothing.\n\
                        # TYPE lumbung_test_empty gauge\n\
                        # HELP lumbung_test_datasets Datasets.\n\
                        # TYPE lumbung_test_datasets gauge\n\
                        lumbung_test_datasets{pd=\"DINKES\",step=\"met\"} 3.5\n\
                        lumbung_test_datasets{pd=\"RSUD \\\"A\\\"\\\\\",step=\"met\"} 1.0\n\
                        # HELP lumbung_test_beats_total Beats.\n\
                        # TYPE lumbung_test_beats_total counter\n\
                        lumbung_test_beats_total 1099511627776.0\n";
        assert_eq!(figures.into_text(), expected);
    }
}
