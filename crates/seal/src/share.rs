//! Shares of a key bundle: any M of N rebuild it, fewer tell nothing (format, section 24).
//!
//! Invariants: what was rebuilt is a bundle only if its public keys are those that stand in every share; shares of two
//! splits are never mixed; a share tells anybody whose it is and of what, and nothing of the key.

use blahaj::{Share, Sharks};
use lumbung_model::{PublicKey, RepositoryId, Secret, ShareSetId, Timestamp};
use lumbung_pack::codec::{Reader, Writer};
use lumbung_pack::{FormatError, Header, Kind, SigningKey, armor};
use zeroize::Zeroizing;

use crate::key_bundle::KeyBundle;
use crate::key_file::KeyFileError;
use crate::session::{RecoveryKey, SystemRandom};

const TITLE: &str = "LUMBUNG KEY SHARE 1";
/// Both private keys.
const SECRET_BYTES: usize = 64;
/// Shares of one split, at most: more are not kept apart from each other.
pub const MAX_SHARES: usize = 16;

/// Why a key cannot be split or rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// Numbers that make no sense.
    #[error(
        "{threshold} of {shares}: 2 to {MAX_SHARES} shares, of which at least 2 and at most all rebuild the key"
    )]
    Numbers {
        /// How many rebuild it.
        threshold: usize,
        /// How many there are.
        shares: usize,
    },
    /// Shares of two splits.
    #[error("share {0} is of another split or of another key: lay the shares out by their set")]
    Mixed(u8),
    /// One share twice.
    #[error("share {0} was given twice: another holder's is needed")]
    Twice(u8),
    /// Not enough of them.
    #[error("{given} shares were given, and {threshold} rebuild the key")]
    TooFew {
        /// How many.
        given: usize,
        /// How many it takes.
        threshold: u8,
    },
    /// They rebuild something else.
    #[error(
        "the shares do not rebuild the key that stands in them: one of them was altered, try others"
    )]
    Other,
}

/// What is said of a split in each of its shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareSet {
    /// Names the split; random.
    pub set: ShareSetId,
    /// How many shares rebuild the key.
    pub threshold: u8,
    /// How many there are.
    pub shares: u8,
    /// When it was split.
    pub made: Timestamp,
    /// The bundle's root key, public half.
    pub root: PublicKey,
    /// The bundle's recovery key, public half.
    pub recovery: PublicKey,
    /// The bundle's label: whose it is.
    pub label: String,
}

/// One share, for one holder.
pub struct KeyShare {
    of: ShareSet,
    number: u8,
    holder: String,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

impl KeyShare {
    /// The split that it is of.
    #[must_use]
    pub const fn of(&self) -> &ShareSet {
        &self.of
    }

    /// Which share it is, from 1.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Who keeps it.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    fn object(&self) -> Zeroizing<Vec<u8>> {
        let of = &self.of;
        let mut writer = Writer::new();
        Header { kind: Kind::KeyShare, repository: RepositoryId::ZERO }.write(&mut writer);
        writer.raw(of.set.as_bytes()).u8(of.threshold).u8(of.shares).u8(self.number);
        writer.i64(of.made.0).raw(of.root.as_bytes()).raw(of.recovery.as_bytes());
        writer.str(&of.label).str(&self.holder).raw(&self.secret[..]);
        Zeroizing::new(writer.into_bytes())
    }

    /// As a text to be kept, every line with its number and its own check.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(armor::encode_checked(TITLE, &self.object()))
    }

    /// Reads a share, scanned or typed.
    ///
    /// # Errors
    /// Where it is damaged or another file; a mistyped line is named.
    pub fn from_text(text: &str) -> Result<Self, KeyFileError> {
        let object = armor::decode(TITLE, text)?;
        let mut reader = Reader::new(&object);
        let field = |field, reason| KeyFileError::from(FormatError::Field { field, reason });
        if !Header::expect(Kind::KeyShare, &mut reader)?.repository.is_zero() {
            return Err(field("a share's repository id", "it is not zero"));
        }
        let set = ShareSetId::from_bytes(reader.array()?);
        let (threshold, shares, number) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let sensible = (2..=shares).contains(&threshold) && usize::from(shares) <= MAX_SHARES;
        if !sensible || !(1..=shares).contains(&number) {
            return Err(field("a share's number", "it is none of 2 to 16 shares"));
        }
        let made = Timestamp(reader.i64()?);
        let root = PublicKey::from_bytes(reader.array()?);
        let recovery = PublicKey::from_bytes(reader.array()?);
        let (label, holder) = (reader.str()?, reader.str()?);
        let secret = Zeroizing::new(reader.array()?);
        reader.finish()?;
        let of = ShareSet { set, threshold, shares, made, root, recovery, label };
        Ok(Self { of, number, holder, secret })
    }
}

/// Splits a bundle among holders, so that any `threshold` of them rebuild it.
///
/// # Errors
/// [`ShareError::Numbers`].
pub fn split_bundle(
    bundle: &KeyBundle,
    threshold: usize,
    holders: &[String],
    made: Timestamp,
) -> Result<Vec<KeyShare>, ShareError> {
    let numbers = ShareError::Numbers { threshold, shares: holders.len() };
    let sensible = (2..=holders.len()).contains(&threshold) && holders.len() <= MAX_SHARES;
    let (Ok(needed), Ok(shares), true) =
        (u8::try_from(threshold), u8::try_from(holders.len()), sensible)
    else {
        return Err(numbers);
    };
    let of = ShareSet {
        set: ShareSetId::random(),
        threshold: needed,
        shares,
        made,
        root: bundle.root_public(),
        recovery: bundle.recovery_public(),
        label: bundle.label().to_owned(),
    };
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    secret[..32].copy_from_slice(bundle.root().seed().expose());
    secret[32..].copy_from_slice(bundle.recovery().expose());
    let mut random = SystemRandom;
    let dealt = Sharks(needed).dealer_rng(&secret[..], &mut random);
    let made = dealt.zip(holders).map(|(share, holder)| {
        let bytes = Zeroizing::new(Vec::from(&share));
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret.copy_from_slice(&bytes[1..]);
        KeyShare { of: of.clone(), number: bytes[0], holder: holder.clone(), secret }
    });
    Ok(made.collect())
}

/// Rebuilds a bundle from shares of one split.
///
/// # Errors
/// If they are too few, of several splits, or do not rebuild the key that stands in them.
pub fn join_shares(shares: &[KeyShare]) -> Result<KeyBundle, ShareError> {
    let Some(first) = shares.first() else {
        return Err(ShareError::TooFew { given: 0, threshold: 2 });
    };
    let mut seen = std::collections::BTreeSet::new();
    for share in shares {
        if share.of != first.of {
            return Err(ShareError::Mixed(share.number));
        }
        if !seen.insert(share.number) {
            return Err(ShareError::Twice(share.number));
        }
    }
    let threshold = first.of.threshold;
    if shares.len() < usize::from(threshold) {
        return Err(ShareError::TooFew { given: shares.len(), threshold });
    }
    let dealt: Vec<Share> = shares
        .iter()
        .map(|share| {
            let bytes = Zeroizing::new([&[share.number][..], &share.secret[..]].concat());
            Share::try_from(&bytes[..]).map_err(|_| ShareError::Other)
        })
        .collect::<Result<_, _>>()?;
    let secret = Sharks(threshold).recover(&dealt).map_err(|_| ShareError::Other)?;
    let secret = Zeroizing::new(secret);
    let half = |range: std::ops::Range<usize>| {
        let bytes = secret.get(range).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Secret::new).ok_or(ShareError::Other)
    };
    let root = SigningKey::from_seed(&half(0..32)?);
    let bundle = KeyBundle::from_keys(root, RecoveryKey::from_seed(half(32..64)?), &first.of.label);
    let same =
        bundle.root_public() == first.of.root && bundle.recovery_public() == first.of.recovery;
    if same { Ok(bundle) } else { Err(ShareError::Other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bundle: &KeyBundle, threshold: usize, shares: usize) -> Vec<KeyShare> {
        let holders: Vec<String> = (1..=shares).map(|n| format!("Pemegang {n}")).collect();
        split_bundle(bundle, threshold, &holders, Timestamp(1_800_000_000)).unwrap()
    }

    fn again(share: &KeyShare) -> KeyShare {
        KeyShare::from_text(&share.to_text()).unwrap()
    }

    /// The shares whose bit is set.
    fn chosen(shares: &[KeyShare], set: usize) -> Vec<KeyShare> {
        let of = shares.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
        of.map(|(_, share)| again(share)).collect()
    }

    #[test]
    fn any_m_of_n_rebuild_the_bundle_and_fewer_do_not() {
        let bundle = KeyBundle::generate("Dinas Kesehatan");
        for (threshold, count) in [(2, 2), (2, 3), (3, 5)] {
            let shares = split(&bundle, threshold, count);
            let numbers: Vec<u8> = shares.iter().map(KeyShare::number).collect();
            assert_eq!(numbers, (1..=u8::try_from(count).unwrap()).collect::<Vec<_>>());
            for set in 0..1_usize << count {
                let some = chosen(&shares, set);
                match join_shares(&some) {
                    Ok(joined) => {
                        assert!(some.len() >= threshold);
                        assert_eq!(joined.root().seed().expose(), bundle.root().seed().expose());
                        assert_eq!(joined.recovery().expose(), bundle.recovery().expose());
                        assert_eq!(joined.label(), "Dinas Kesehatan");
                    }
                    Err(ShareError::TooFew { given, .. }) => {
                        assert!(some.len() < threshold && given == some.len());
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Fewer than the threshold are consistent with every key: joined under a lower one they give another.
    #[test]
    fn fewer_shares_rebuild_nothing_under_another_threshold() {
        let bundle = KeyBundle::generate("PD");
        let mut few: Vec<KeyShare> = split(&bundle, 3, 3).into_iter().take(2).collect();
        few.iter_mut().for_each(|share| share.of.threshold = 2);
        assert!(matches!(join_shares(&few), Err(ShareError::Other)));
    }

    #[test]
    fn shares_of_two_splits_twice_or_altered_are_refused() {
        let bundle = KeyBundle::generate("PD");
        let (one, two) = (split(&bundle, 2, 3), split(&bundle, 2, 3));
        let join = |shares: [&KeyShare; 2]| join_shares(&shares.map(again)).err();
        assert!(join([&one[0], &one[2]]).is_none());
        assert!(matches!(join([&one[0], &two[1]]), Some(ShareError::Mixed(2))));
        assert!(matches!(join([&one[1], &one[1]]), Some(ShareError::Twice(2))));
        let mut altered = again(&one[1]);
        altered.secret[5] ^= 1;
        assert!(matches!(join([&one[0], &altered]), Some(ShareError::Other)));
        assert!(matches!(join_shares(&[]), Err(ShareError::TooFew { given: 0, .. })));
        let holders = vec![String::new(); 17];
        for (threshold, count) in [(1, 3), (0, 0), (4, 3), (2, 17), (1, 1)] {
            let split = split_bundle(&bundle, threshold, &holders[..count], Timestamp(0));
            assert!(matches!(split, Err(ShareError::Numbers { .. })), "{threshold} of {count}");
        }
    }

    #[test]
    fn a_share_tells_whose_it_is_and_holds_no_key() {
        let bundle = KeyBundle::generate("PD");
        let share = &split(&bundle, 2, 3)[1];
        let read = again(share);
        assert_eq!((read.of(), read.number(), read.holder()), (share.of(), 2, "Pemegang 2"));
        let object = share.object();
        for secret in [bundle.root().seed().expose(), bundle.recovery().expose()] {
            assert!(!object.windows(32).any(|window| window == secret));
        }
        assert!(KeyShare::from_text(&bundle_text(&bundle)).is_err());
        // The golden rule: one and the same secret, split twice, gives shares that have nothing in common.
        assert_ne!(split(&bundle, 2, 3)[1].secret[..], share.secret[..]);
    }

    fn bundle_text(bundle: &KeyBundle) -> String {
        bundle.to_text(b"x", crate::KdfParams::new(64, 1, 2).unwrap()).unwrap()
    }

    /// Made once: what a share of today says will be read in twenty years.
    #[test]
    fn known_shares_rebuild_a_known_key() {
        let mut coefficient = [0_u8; SECRET_BYTES];
        coefficient.iter_mut().zip(0x30..).for_each(|(byte, value)| *byte = value);
        let secret: [u8; SECRET_BYTES] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        // f(x) = secret + coefficient · x in GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1, worked out here without the library.
        let times = |mut a: u8, mut b: u8| {
            let mut product = 0;
            while b > 0 {
                if b & 1 == 1 {
                    product ^= a;
                }
                a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1d };
                b >>= 1;
            }
            product
        };
        let share = |x: u8| {
            let y: Vec<u8> = secret.iter().zip(coefficient).map(|(s, c)| s ^ times(c, x)).collect();
            Share::try_from(&[&[x][..], &y].concat()[..]).unwrap()
        };
        let joined = Sharks(2).recover(&[share(3), share(9)]).unwrap();
        assert_eq!(joined, secret);
    }
}
