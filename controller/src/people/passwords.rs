//! Passwords: Argon2id (RFC 9106) with 19 MiB, two passes, one lane, as OWASP's cheat sheet has it; PHC strings.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};

/// Characters of a password, least and most.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=256;

/// Why a password is refused.
pub(super) const RULE: &str = "write 12 to 256 characters, without the account's own name in them";

/// Whether it may be used for the account of this name.
pub(super) fn is_acceptable(password: &str, name: &str) -> bool {
    // Names of two or three letters stand in many words.
    let named = name.len() >= 4 && password.to_lowercase().contains(&name.to_lowercase());
    LENGTH.contains(&password.chars().count()) && !named
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// What is kept of a password.
///
/// # Errors
/// If the operating system gives no random numbers.
pub(super) fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(argon2().hash_password(password.as_bytes())?.to_string())
}

/// Of a random password that nobody has written down: what is compared with where there is no account.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5c2FsdG5vYm9keQ$1l2mC2pDn0o0Q5b0ScsW4GQf0dZs0F1pBv3Y6yq8h2E";

/// Whether the password is the one that was kept. Without one it takes as long, and says no.
pub(super) fn is_right(password: &str, kept: Option<&str>) -> bool {
    let Ok(hash) = PasswordHash::new(kept.unwrap_or(NOBODY)) else { return false };
    let right = argon2().verify_password(password.as_bytes(), &hash).is_ok();
    right && kept.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_as_argon2id_and_known_again() {
        let kept = hash("padi di lumbung kota").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(hash("padi di lumbung kota").unwrap(), kept, "each has its own salt");
        assert!(is_right("padi di lumbung kota", Some(&kept)));
        assert!(!is_right("padi di lumbung desa", Some(&kept)));
        assert!(!is_right("padi di lumbung kota", None));
        assert!(!is_right("padi di lumbung kota", Some("no hash")));
    }

    #[test]
    fn where_there_is_no_account_a_hash_of_the_same_cost_is_compared() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let kept = hash("padi di lumbung kota").unwrap();
        let real = PasswordHash::new(&kept).unwrap();
        assert_eq!((nobody.algorithm, nobody.version), (real.algorithm, real.version));
        assert_eq!(nobody.params, real.params);
        let length = |hash: &PasswordHash| hash.hash.map(|output| output.len());
        assert_eq!(length(&nobody), length(&real));
    }

    #[test]
    fn short_ones_and_the_own_name_are_refused() {
        assert!(is_acceptable("padi di lumbung", "siti"));
        assert!(!is_acceptable("padi", "siti"));
        assert!(!is_acceptable("Siti-2026-2026", "siti"));
        assert!(!is_acceptable(&"x".repeat(257), "siti"));
    }
}
