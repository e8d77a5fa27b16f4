//! First passwords: made for somebody else, read out over the telephone, changed at the first login.

use data_encoding::BASE32_NOPAD;
use lumbung_model::Secret;

/// 100 random bits in four groups, as the controller's console makes them.
#[must_use]
pub(crate) fn first_password() -> String {
    let text = BASE32_NOPAD.encode(Secret::<15>::random().expose()).to_lowercase();
    let groups: Vec<&str> = (0..4).filter_map(|group| text.get(group * 5..group * 5 + 5)).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_passwords_differ_and_are_long_enough() {
        let (one, two) = (first_password(), first_password());
        assert_ne!(one, two);
        assert_eq!(one.len(), 23);
        assert!(one.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
    }
}
