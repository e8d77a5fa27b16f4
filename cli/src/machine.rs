//! What this program asks of the machine it runs on.

/// The machine's name; empty if it has none.
#[must_use]
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().chars().take(63).collect()
}
