//! A site as the custodian enters it: from the vault's own `init --json`, or as one line; named or not.

use std::path::Path;

use lumbung_model::{PublicKey, SiteId, TlsPin};
use lumbung_pack::RosterSite;
use serde::Deserialize;

use crate::failure::{Code, Failure, Outcome};
use crate::files::read_text;

/// What `lumbung-vault init --json` prints; fields that do not matter here are ignored.
#[derive(Debug, Deserialize)]
struct VaultInit {
    #[serde(alias = "site_id")]
    site: SiteId,
    receipt_key: PublicKey,
    tls_pin: TlsPin,
    #[serde(default, alias = "label")]
    name: String,
}

const NEXT: &str =
    "give the file that `lumbung-vault init --json` printed, or [NAME=]SITE:RECEIPT_KEY:TLS_PIN";

/// Reads a site from a file's name or from `SITE:RECEIPT_KEY:TLS_PIN`, with `NAME=` before it or not.
///
/// # Errors
/// If it is neither.
pub(crate) fn parse(given: &str) -> Outcome<RosterSite> {
    if Path::new(given).exists() {
        return from_file(Path::new(given));
    }
    match given.split_once('=') {
        Some((name, site)) => Ok(RosterSite { label: name.to_owned(), ..parse_nameless(site)? }),
        None => parse_nameless(given),
    }
}

fn parse_nameless(given: &str) -> Outcome<RosterSite> {
    if Path::new(given).exists() || !given.contains(':') {
        return from_file(Path::new(given));
    }
    let bad = |what: &str, error: lumbung_model::IdError| {
        Failure::new(Code::Usage, format!("the site's {what} in {given:?} is wrong"), NEXT)
            .because(error)
    };
    let mut parts = given.splitn(3, ':');
    let mut part = || parts.next().unwrap_or("");
    Ok(RosterSite {
        site: part().parse().map_err(|e| bad("id", e))?,
        receipt_key: part().parse().map_err(|e| bad("receipt key", e))?,
        tls_pin: part().parse().map_err(|e| bad("TLS pin", e))?,
        label: String::new(),
    })
}

fn from_file(path: &Path) -> Outcome<RosterSite> {
    let text = read_text(path, "the site's file")?;
    let init: VaultInit = serde_json::from_str(&text).map_err(|e| {
        Failure::new(Code::BadFile, format!("{} does not describe a site", path.display()), NEXT)
            .because(e)
    })?;
    Ok(RosterSite {
        site: init.site,
        receipt_key: init.receipt_key,
        tls_pin: init.tls_pin,
        label: init.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_one_line() {
        let line =
            format!("Pusat Data={}:{}:{}", "11".repeat(16), "22".repeat(32), "33".repeat(32));
        let site = parse(&line).expect("a site");
        assert_eq!(site.site, SiteId::from_bytes([0x11; 16]));
        assert_eq!(site.tls_pin, TlsPin::from_bytes([0x33; 32]));
        assert_eq!(site.label, "Pusat Data");
        assert_eq!(parse("1:2:3").map_err(|e| e.code()), Err(Code::Usage));
        assert_eq!(parse("/nonexistent/site.json").map_err(|e| e.code()), Err(Code::FileMissing));
    }
}
