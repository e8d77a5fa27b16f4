//! A PD's key bundle: root key and recovery key under a passphrase (format, section 15). A requester's identity under
//! a passphrase has the same form under another title and kind.
//!
//! Made on the custodian's machine and never leaves it. The file tells its public keys and label to
//! anybody; damage and a wrong passphrase are told apart.

use argon2::{Algorithm, Argon2, Params, Version};
use lumbung_model::{PublicKey, RepositoryId, Secret};
use lumbung_pack::codec::{Reader, Writer};
use lumbung_pack::limits::LABEL_MAX_BYTES;
use lumbung_pack::{FormatError, Header, Kind, SigningKey, armor};
use zeroize::Zeroizing;

use crate::key_file::KeyFileError;
use crate::one_message::{self, TAG_BYTES};
use crate::session::RecoveryKey;

/// Of which kind a file of two keys under a passphrase is.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
}

const BUNDLE: Form = Form { title: "LUMBUNG KEY BUNDLE 1", kind: Kind::KeyBundle };
const SALT_BYTES: usize = 16;
const PRIVATE_BYTES: usize = 64;
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;

/// How hard a passphrase is to guess: Argon2id's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl KdfParams {
    /// 64 MiB, 3 passes, 4 lanes: the second choice of RFC 9106, for it runs on any machine.
    pub const STANDARD: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };

    /// Other parameters.
    ///
    /// # Errors
    /// If a machine could not be expected to compute that.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, KeyFileError> {
        let sensible = (1..=MAX_LANES).contains(&lanes)
            && (1..=MAX_PASSES).contains(&passes)
            && (8 * lanes..=MAX_MEMORY_KIB).contains(&memory_kib);
        if sensible {
            Ok(Self { memory_kib, passes, lanes })
        } else {
            Err(KeyFileError::KdfParams { memory_kib, passes, lanes })
        }
    }

    fn derive(
        self,
        passphrase: &[u8],
        salt: &[u8; SALT_BYTES],
    ) -> Result<Secret<32>, KeyFileError> {
        let lacking = |_| KeyFileError::Memory(self.memory_kib);
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(lacking)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, &mut key[..])
            .map_err(lacking)?;
        Ok(Secret::new(*key))
    }
}

impl Default for KdfParams {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// A PD's private keys.
pub struct KeyBundle {
    root: SigningKey,
    recovery: RecoveryKey,
    label: String,
}

/// What a key bundle's file says without its passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBundlePublic {
    root: PublicKey,
    recovery: PublicKey,
    label: String,
    kdf: KdfParams,
}

impl KeyBundlePublic {
    /// Reads the public part of a key bundle.
    ///
    /// # Errors
    /// Where the file is damaged or another one.
    pub fn from_text(text: &str) -> Result<Self, KeyFileError> {
        Self::of_form(BUNDLE, text)
    }

    pub(crate) fn of_form(form: Form, text: &str) -> Result<Self, KeyFileError> {
        let object = armor::decode(form.title, text)?;
        Ok(Parsed::read(form.kind, &object)?.public)
    }

    /// The Ed25519 root key: signs rosters.
    #[must_use]
    pub const fn root_public(&self) -> PublicKey {
        self.root
    }

    /// The X25519 recovery key: what sessions are sealed to.
    #[must_use]
    pub const fn recovery_public(&self) -> PublicKey {
        self.recovery
    }

    /// For people.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How its passphrase is stretched.
    #[must_use]
    pub const fn kdf(&self) -> KdfParams {
        self.kdf
    }

    /// Every byte before the sealed keys, which binds them.
    fn write(&self, kind: Kind, salt: &[u8; SALT_BYTES]) -> Writer {
        let mut writer = Writer::new();
        Header { kind, repository: RepositoryId::ZERO }.write(&mut writer);
        writer.u32(self.kdf.memory_kib).u32(self.kdf.passes).u32(self.kdf.lanes).raw(salt);
        writer.raw(self.root.as_bytes()).raw(self.recovery.as_bytes()).str(&self.label);
        writer
    }
}

/// A key bundle's object, taken apart.
struct Parsed<'a> {
    public: KeyBundlePublic,
    salt: [u8; SALT_BYTES],
    aad: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn read(kind: Kind, object: &'a [u8]) -> Result<Self, KeyFileError> {
        let mut reader = Reader::new(object);
        let header = Header::expect(kind, &mut reader)?;
        if !header.repository.is_zero() {
            let reason = "it is not zero";
            return Err(FormatError::Field { field: "a key bundle's repository id", reason }.into());
        }
        let kdf = KdfParams::new(reader.u32()?, reader.u32()?, reader.u32()?)?;
        let salt = reader.array()?;
        let root = PublicKey::from_bytes(reader.array()?);
        let recovery = PublicKey::from_bytes(reader.array()?);
        let label = reader.str()?;
        let aad = &object[..object.len() - reader.remaining()];
        let sealed = reader.bytes(PRIVATE_BYTES + TAG_BYTES)?;
        reader.finish()?;
        if sealed.len() != PRIVATE_BYTES + TAG_BYTES {
            let reason = "it does not have 80 bytes";
            return Err(FormatError::Field { field: "a key bundle's sealed part", reason }.into());
        }
        Ok(Self { public: KeyBundlePublic { root, recovery, label, kdf }, salt, aad, sealed })
    }
}

impl KeyBundle {
    /// New keys. A label longer than 255 bytes is cut.
    #[must_use]
    pub fn generate(label: &str) -> Self {
        Self::from_keys(SigningKey::generate(), RecoveryKey::generate(), label)
    }

    /// A bundle of these keys: from escrow, or for test vectors.
    #[must_use]
    pub fn from_keys(root: SigningKey, recovery: RecoveryKey, label: &str) -> Self {
        let end = label.floor_char_boundary(LABEL_MAX_BYTES);
        Self { root, recovery, label: label[..end].to_owned() }
    }

    /// The Ed25519 root key: signs rosters.
    #[must_use]
    pub const fn root(&self) -> &SigningKey {
        &self.root
    }

    /// The X25519 recovery key: opens sessions.
    #[must_use]
    pub const fn recovery(&self) -> &RecoveryKey {
        &self.recovery
    }

    /// The root key's public half.
    #[must_use]
    pub fn root_public(&self) -> PublicKey {
        self.root.public()
    }

    /// The recovery key's public half.
    #[must_use]
    pub fn recovery_public(&self) -> PublicKey {
        self.recovery.public()
    }

    /// For people.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// As a key file under this passphrase, with a new salt each time.
    ///
    /// # Errors
    /// If the machine lacks the memory that the parameters ask for.
    ///
    /// # Panics
    /// If the operating system has no random numbers to give.
    pub fn to_text(&self, passphrase: &[u8], kdf: KdfParams) -> Result<String, KeyFileError> {
        self.to_form(BUNDLE, passphrase, kdf)
    }

    #[cfg(test)]
    pub(crate) fn to_object(
        &self,
        passphrase: &[u8],
        kdf: KdfParams,
        salt: [u8; SALT_BYTES],
    ) -> Result<Vec<u8>, KeyFileError> {
        self.to_object_of(BUNDLE.kind, passphrase, kdf, salt)
    }

    /// As text of another form, with a new salt.
    pub(crate) fn to_form(
        &self,
        form: Form,
        passphrase: &[u8],
        kdf: KdfParams,
    ) -> Result<String, KeyFileError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).expect("the operating system gives random numbers");
        Ok(armor::encode(form.title, &self.to_object_of(form.kind, passphrase, kdf, salt)?))
    }

    fn to_object_of(
        &self,
        kind: Kind,
        passphrase: &[u8],
        kdf: KdfParams,
        salt: [u8; SALT_BYTES],
    ) -> Result<Vec<u8>, KeyFileError> {
        let public = KeyBundlePublic {
            root: self.root_public(),
            recovery: self.recovery_public(),
            label: self.label.clone(),
            kdf,
        };
        let mut writer = public.write(kind, &salt);
        let mut private = Zeroizing::new([0; PRIVATE_BYTES]);
        private[..32].copy_from_slice(self.root.seed().expose());
        private[32..].copy_from_slice(self.recovery.expose());
        let sealed =
            one_message::seal(kdf.derive(passphrase, &salt)?, writer.as_bytes(), &private[..]);
        writer.bytes(&sealed);
        Ok(writer.into_bytes())
    }

    /// Opens a key file.
    ///
    /// # Errors
    /// [`KeyFileError::WrongPassphrase`], or why the file cannot be used with any.
    pub fn from_text(text: &str, passphrase: &[u8]) -> Result<Self, KeyFileError> {
        Self::from_form(BUNDLE, text, passphrase)
    }

    pub(crate) fn from_form(
        form: Form,
        text: &str,
        passphrase: &[u8],
    ) -> Result<Self, KeyFileError> {
        let object = armor::decode(form.title, text)?;
        let parsed = Parsed::read(form.kind, &object)?;
        let key = parsed.public.kdf.derive(passphrase, &parsed.salt)?;
        let mut private = Zeroizing::new([0; PRIVATE_BYTES]);
        one_message::open(&key, parsed.aad, parsed.sealed, &mut private[..])
            .map_err(|_| KeyFileError::WrongPassphrase)?;
        let half = |range: std::ops::Range<usize>| {
            Secret::new(private[range].try_into().expect("32 bytes"))
        };
        let bundle = Self::from_keys(
            SigningKey::from_seed(&half(0..32)),
            RecoveryKey::from_seed(half(32..64)),
            &parsed.public.label,
        );
        let same = bundle.root_public() == parsed.public.root
            && bundle.recovery_public() == parsed.public.recovery;
        if same { Ok(bundle) } else { Err(KeyFileError::KeysDiffer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> KdfParams {
        KdfParams::new(64, 1, 2).unwrap()
    }

    /// Whoever knows the passphrase can write one: either half tells.
    #[test]
    fn a_bundle_that_names_other_keys_than_it_holds_is_refused() {
        let (held, other) = (KeyBundle::generate("a"), KeyBundle::generate("b"));
        let opens = |root: &KeyBundle, recovery: &KeyBundle| {
            let public = KeyBundlePublic {
                root: root.root_public(),
                recovery: recovery.recovery_public(),
                label: "a".into(),
                kdf: quick(),
            };
            let salt = [7; SALT_BYTES];
            let mut writer = public.write(BUNDLE.kind, &salt);
            let private = [*held.root.seed().expose(), *held.recovery.expose()].concat();
            let key = quick().derive(b"kata sandi", &salt).unwrap();
            writer.bytes(&one_message::seal(key, writer.as_bytes(), &private));
            KeyBundle::from_text(&armor::encode(BUNDLE.title, writer.as_bytes()), b"kata sandi")
        };
        assert!(opens(&held, &held).is_ok());
        for (root, recovery) in [(&other, &held), (&held, &other), (&other, &other)] {
            assert!(matches!(opens(root, recovery), Err(KeyFileError::KeysDiffer)));
        }
    }

    #[test]
    fn the_standard_parameters_are_the_second_choice_of_rfc_9106() {
        assert_eq!(KdfParams::STANDARD, KdfParams::new(65_536, 3, 4).unwrap());
    }

    #[test]
    fn a_bundle_comes_back_under_its_passphrase_only() {
        let bundle = KeyBundle::generate("Dinas Kesehatan");
        let text = bundle.to_text(b"kata sandi", quick()).unwrap();
        assert_ne!(text, bundle.to_text(b"kata sandi", quick()).unwrap(), "a new salt each time");
        let again = KeyBundle::from_text(&text, b"kata sandi").unwrap();
        assert_eq!(again.root().seed().expose(), bundle.root().seed().expose());
        assert_eq!(again.recovery().expose(), bundle.recovery().expose());
        assert_eq!(again.label(), "Dinas Kesehatan");
        assert!(matches!(
            KeyBundle::from_text(&text, b"kata sandI"),
            Err(KeyFileError::WrongPassphrase)
        ));
        let public = KeyBundlePublic::from_text(&text).unwrap();
        assert_eq!(public.root_public(), bundle.root_public());
        assert_eq!(public.recovery_public(), bundle.recovery_public());
        assert_eq!((public.label(), public.kdf()), ("Dinas Kesehatan", quick()));
    }

    #[test]
    fn damage_is_not_called_a_wrong_passphrase() {
        let text = KeyBundle::generate("PD").to_text(b"x", quick()).unwrap();
        let body = text.find('\n').unwrap() + 1;
        for position in (body..text.len()).step_by(7) {
            let mut bad = text.clone().into_bytes();
            bad[position] = match bad[position] {
                b'\n' => continue,
                b'A' => b'B',
                _ => b'A',
            };
            let bad = String::from_utf8(bad).unwrap();
            assert!(
                matches!(KeyBundle::from_text(&bad, b"x"), Err(KeyFileError::Armor(_))),
                "{position}"
            );
        }
    }

    /// Repairs the checksum, as an attacker would.
    fn opened_after(change: impl Fn(&mut Vec<u8>)) -> Result<KeyBundle, KeyFileError> {
        let bundle = KeyBundle::generate("PD");
        let mut object = bundle.to_object(b"x", quick(), [1; SALT_BYTES]).unwrap();
        change(&mut object);
        KeyBundle::from_text(&armor::encode(BUNDLE.title, &object), b"x")
    }

    #[test]
    fn a_hostile_file_is_refused() {
        assert!(opened_after(|_| ()).is_ok());
        assert!(
            matches!(opened_after(|o| o[50] = 0xff), Err(KeyFileError::KdfParams { .. })),
            "memory"
        );
        assert!(
            matches!(opened_after(|o| o[52] = 17), Err(KeyFileError::KdfParams { .. })),
            "passes"
        );
        assert!(
            matches!(opened_after(|o| o[56] = 0), Err(KeyFileError::KdfParams { .. })),
            "lanes"
        );
        assert!(
            matches!(opened_after(|o| o[20] = 1), Err(KeyFileError::Format(_))),
            "repository id"
        );
        assert!(matches!(opened_after(|o| o[4] = 33), Err(KeyFileError::Format(_))), "kind");
        assert!(
            matches!(opened_after(|o| o.push(0)), Err(KeyFileError::Format(_))),
            "trailing byte"
        );
        for exchanged in [60, 76, 108, 142, 148, 227] {
            let opened = opened_after(|o| o[exchanged] ^= 1);
            assert!(matches!(opened, Err(KeyFileError::WrongPassphrase)), "byte {exchanged}");
        }
    }
}
