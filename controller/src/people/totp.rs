//! The second factor: time-based codes (RFC 6238; SHA-1, six digits, steps of 30 s, one step either way).

use lumbung_model::{Secret, Timestamp};
use totp_rs::{Builder, Totp};

/// Bytes of a secret: as long as SHA-1's output (RFC 4226, section 4).
pub(super) const SECRET_BYTES: usize = 20;

fn totp(secret: &[u8; SECRET_BYTES]) -> Option<Totp> {
    Builder::new()
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(30)
        .with_secret(*secret)
        .build()
        .ok()
}

/// A new secret.
pub(super) fn new_secret() -> Secret<SECRET_BYTES> {
    Secret::random()
}

/// The step of a code, if it is right at `now` and younger than the last one that was used.
pub(super) fn step_of(
    secret: &[u8; SECRET_BYTES],
    code: &str,
    now: Timestamp,
    last: Option<u64>,
) -> Option<u64> {
    let step = totp(secret)?.check(code.trim(), now.0.max(0).unsigned_abs())?;
    last.is_none_or(|last| step > last).then_some(step)
}

/// What an app reads as a QR code.
pub(super) fn url(name: &str, secret_base32: &str) -> String {
    format!("otpauth://totp/Lumbung:{name}?secret={secret_base32}&issuer=Lumbung")
}

#[cfg(test)]
pub(crate) fn code_at(secret: &[u8; SECRET_BYTES], now: Timestamp) -> String {
    totp(secret).unwrap().generate(now.0.unsigned_abs()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the last six digits of the eight given there.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(code_at(secret, Timestamp(time)), code);
            let step = u64::try_from(time / 30).unwrap();
            assert_eq!(step_of(secret, code, Timestamp(time), None), Some(step));
            assert_eq!(step_of(secret, code, Timestamp(time + 30), None), Some(step));
            assert_eq!(step_of(secret, code, Timestamp(time + 90), None), None);
            assert_eq!(step_of(secret, code, Timestamp(time), Some(step)), None, "taken twice");
        }
        for wrong in ["", "28708", "2870822", "28708x", "２８７０８２"] {
            assert_eq!(step_of(secret, wrong, Timestamp(59), None), None, "{wrong}");
        }
    }
}
