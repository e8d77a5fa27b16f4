//! Figures for Prometheus: what a daemon counts, and the small server that shows it at `/metrics`.
//!
//! Invariants: off unless configured; plain HTTP, on loopback unless the operator says otherwise, since figures name PD.
//! Figures are gathered when somebody asks, at most once in [`server::FRESH`]; no label comes from a path, a secret or
//! anything else without end. Whoever asks holds up nothing but himself: connections have their number and their time.

mod figures;
pub mod server;
mod settings;

pub use figures::{Figures, Kind, Metric};
pub use server::{Endpoint, MetricsError};
pub use settings::Settings;

/// Which program, in which version.
pub const BUILD_INFO: Metric = Metric::gauge(
    "lumbung_build_info",
    &["program", "version"],
    "Always 1; the labels say which program in which version.",
);
/// When the figures were gathered.
pub const GATHERED: Metric = Metric::gauge(
    "lumbung_gathered_timestamp_seconds",
    &[],
    "When the figures on this page were gathered.",
);
/// How long that took.
pub const GATHERING_DURATION: Metric = Metric::gauge(
    "lumbung_gathering_duration_seconds",
    &[],
    "How long gathering the figures on this page took.",
);
/// When a certificate runs out.
pub const CERTIFICATE_EXPIRY: Metric = Metric::gauge(
    "lumbung_certificate_expiry_timestamp_seconds",
    &["certificate"],
    "When a certificate of this program runs out: own, or ca (the controller's CA).",
);
