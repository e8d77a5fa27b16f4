//! A site's own key file (`docs/format.md` §15).

use lumbung_model::{RepositoryId, Secret, SiteId};

use crate::armor;
use crate::codec::{Reader, Writer};
use crate::error::FormatError;
use crate::object::{Header, Kind};
use crate::sign::SigningKey;

const TITLE: &str = "LUMBUNG SITE IDENTITY 1";

/// Why a text is not a site's key file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteIdentityError {
    /// The text is no key file.
    #[error(transparent)]
    Armor(#[from] armor::ArmorError),
    /// Its content is not a site identity.
    #[error("the site's key file has an unexpected content")]
    Format(#[from] FormatError),
}

/// Who a site is, and the key that signs its receipts, inventories and scrub reports.
pub struct SiteIdentity {
    /// The site.
    pub site: SiteId,
    /// Its receipt key.
    pub key: SigningKey,
}

impl SiteIdentity {
    /// A new site.
    #[must_use]
    pub fn generate() -> Self {
        Self { site: SiteId::random(), key: SigningKey::generate() }
    }

    /// As a key file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut writer = Writer::new();
        Header { kind: Kind::SiteIdentity, repository: RepositoryId::ZERO }.write(&mut writer);
        writer.raw(self.site.as_bytes()).raw(self.key.seed().expose());
        let bytes = zeroize::Zeroizing::new(writer.into_bytes());
        armor::encode(TITLE, &bytes)
    }

    /// From a key file.
    ///
    /// # Errors
    /// Where it is damaged or of another kind.
    pub fn from_text(text: &str) -> Result<Self, SiteIdentityError> {
        let bytes = armor::decode(TITLE, text)?;
        let mut reader = Reader::new(&bytes);
        if !Header::expect(Kind::SiteIdentity, &mut reader)?.repository.is_zero() {
            let reason = "a site is of no repository";
            return Err(FormatError::field("a site identity's repository id", reason).into());
        }
        let site = SiteId::from_bytes(reader.array()?);
        let key = SigningKey::from_seed(&Secret::new(reader.array()?));
        reader.finish()?;
        Ok(Self { site, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_identity_comes_back_and_is_of_no_repository() {
        let identity = SiteIdentity::generate();
        let text = identity.to_text();
        let again = SiteIdentity::from_text(&text).unwrap();
        assert_eq!((again.site, again.key.public()), (identity.site, identity.key.public()));
        assert_eq!(again.to_text(), text);
        let mut object = armor::decode(TITLE, &text).unwrap();
        object[16] = 1;
        assert!(matches!(
            SiteIdentity::from_text(&armor::encode(TITLE, &object)),
            Err(SiteIdentityError::Format(FormatError::Field { .. }))
        ));
    }
}
