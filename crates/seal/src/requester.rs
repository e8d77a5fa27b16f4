//! A requester's identity: the keys of somebody, or of a machine, to whom owners open snapshots (format, section 15).
//!
//! Invariant: it opens what is sealed to it and nothing else, and signs its requests; it is no root key of anybody.
//! A person's stands under a passphrase; a machine's, which nobody can type one for, is kept with mode 0600.

use lumbung_model::{RepositoryId, Secret};
use lumbung_pack::codec::{Reader, Writer};
use lumbung_pack::{FormatError, Grantee, Header, Kind, SigningKey, armor};
use zeroize::Zeroizing;

use crate::key_bundle::{Form, KdfParams, KeyBundle, KeyBundlePublic};
use crate::key_file::KeyFileError;
use crate::session::RecoveryKey;

const SEALED: Form = Form { title: "LUMBUNG REQUESTER KEY 1", kind: Kind::RequesterIdentity };
/// A machine's: the same keys without a passphrase.
const PLAIN: Form = Form { title: "LUMBUNG MACHINE REQUESTER KEY 1", kind: Kind::MachineRequester };

/// Who asks: signs requests, shows itself to vaults, and opens what is sealed to it.
pub struct RequesterIdentity(KeyBundle);

impl RequesterIdentity {
    /// New keys. A name longer than 255 bytes is cut.
    #[must_use]
    pub fn generate(name: &str) -> Self {
        Self(KeyBundle::generate(name))
    }

    /// Signs requests, and is the client certificate's key at a vault.
    #[must_use]
    pub const fn key(&self) -> &SigningKey {
        self.0.root()
    }

    /// Opens what is sealed to it.
    #[must_use]
    pub const fn recipient(&self) -> &RecoveryKey {
        self.0.recovery()
    }

    /// Who it is, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.label()
    }

    /// The public halves.
    #[must_use]
    pub fn grantee(&self) -> Grantee {
        Grantee { recipient: self.0.recovery_public(), key: self.0.root_public() }
    }

    /// As a key file under this passphrase.
    ///
    /// # Errors
    /// If the machine lacks the memory that the parameters ask for.
    pub fn to_text(&self, passphrase: &[u8], kdf: KdfParams) -> Result<String, KeyFileError> {
        self.0.to_form(SEALED, passphrase, kdf)
    }

    /// As a machine's key file, to be written with mode 0600.
    #[must_use]
    pub fn to_machine_text(&self) -> Zeroizing<String> {
        let mut writer = Writer::new();
        Header { kind: PLAIN.kind, repository: RepositoryId::ZERO }.write(&mut writer);
        writer.raw(self.key().seed().expose()).raw(self.recipient().expose()).str(self.name());
        let object = Zeroizing::new(writer.into_bytes());
        Zeroizing::new(armor::encode(PLAIN.title, &object))
    }

    /// Whether a key file takes a passphrase.
    #[must_use]
    pub fn is_sealed(text: &str) -> bool {
        let first = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
        first != Some(PLAIN.title)
    }

    /// The public halves and the name in a key file under a passphrase.
    ///
    /// # Errors
    /// Where the file is damaged or another one.
    pub fn public(text: &str) -> Result<(Grantee, String), KeyFileError> {
        if !Self::is_sealed(text) {
            let identity = Self::from_machine_text(text)?;
            return Ok((identity.grantee(), identity.name().to_owned()));
        }
        let public = KeyBundlePublic::of_form(SEALED, text)?;
        let grantee = Grantee { recipient: public.recovery_public(), key: public.root_public() };
        Ok((grantee, public.label().to_owned()))
    }

    /// Opens a key file under a passphrase.
    ///
    /// # Errors
    /// [`KeyFileError::WrongPassphrase`], or why the file cannot be used with any.
    pub fn from_text(text: &str, passphrase: &[u8]) -> Result<Self, KeyFileError> {
        KeyBundle::from_form(SEALED, text, passphrase).map(Self)
    }

    /// Opens a machine's key file.
    ///
    /// # Errors
    /// Where it is damaged or another one.
    pub fn from_machine_text(text: &str) -> Result<Self, KeyFileError> {
        let object = armor::decode(PLAIN.title, text)?;
        let mut reader = Reader::new(&object);
        if !Header::expect(PLAIN.kind, &mut reader)?.repository.is_zero() {
            let field = "a requester's repository id";
            return Err(FormatError::Field { field, reason: "it is not zero" }.into());
        }
        let key = SigningKey::from_seed(&Secret::new(reader.array()?));
        let recipient = RecoveryKey::from_seed(Secret::new(reader.array()?));
        let name = reader.str()?;
        reader.finish()?;
        Ok(Self(KeyBundle::from_keys(key, recipient, &name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_and_a_machines_file_give_the_same_keys_back() {
        let made = RequesterIdentity::generate("Inspektorat");
        let sealed = made.to_text(b"kata sandi", KdfParams::new(64, 1, 2).unwrap()).unwrap();
        let plain = made.to_machine_text();
        let opened = RequesterIdentity::from_text(&sealed, b"kata sandi").unwrap();
        let machine = RequesterIdentity::from_machine_text(&plain).unwrap();
        for found in [&opened, &machine] {
            assert_eq!(found.grantee(), made.grantee());
            assert_eq!(found.name(), "Inspektorat");
            assert_eq!(found.key().seed().expose(), made.key().seed().expose());
            assert_eq!(found.recipient().expose(), made.recipient().expose());
        }
        for text in [sealed.as_str(), &plain] {
            let public = RequesterIdentity::public(text).unwrap();
            assert_eq!(public, (made.grantee(), "Inspektorat".to_owned()));
        }
        assert!(RequesterIdentity::is_sealed(&sealed) && !RequesterIdentity::is_sealed(&plain));
    }

    #[test]
    fn a_requesters_key_is_no_bundle_and_a_bundle_is_no_requesters_key() {
        let kdf = KdfParams::new(64, 1, 2).unwrap();
        let requester = RequesterIdentity::generate("a").to_text(b"x", kdf).unwrap();
        let bundle = KeyBundle::generate("a").to_text(b"x", kdf).unwrap();
        assert!(matches!(KeyBundle::from_text(&requester, b"x"), Err(KeyFileError::Armor(_))));
        assert!(matches!(RequesterIdentity::from_text(&bundle, b"x"), Err(KeyFileError::Armor(_))));
        // Nor under an exchanged title: the kind is bound to what is sealed.
        let retitled = bundle.replace("KEY BUNDLE", "REQUESTER KEY");
        assert!(matches!(
            RequesterIdentity::from_text(&retitled, b"x"),
            Err(KeyFileError::Format(FormatError::WrongKind { .. }))
        ));
    }
}
