//! Many requests at a site in one go, by curl: what somebody tries who has stolen a certificate.
//!
//! Invariants: the answer of each is told, and none of their bodies is written anywhere.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::city::Site;
use crate::process::output;

/// Requests that wait to be sent.
pub struct Requests<'a> {
    site: &'a Site,
    identity: &'a Path,
    /// What is sent with each but GET.
    other: PathBuf,
    text: String,
}

impl<'a> Requests<'a> {
    /// None yet, at that site with that certificate and key; the folder is for files of the moment.
    ///
    /// # Errors
    /// If a file there cannot be written.
    pub fn new(site: &'a Site, identity: &'a Path, folder: &Path) -> Result<Self> {
        let other = folder.join("other-bytes");
        fs::write(&other, b"other bytes under an old name")?;
        Ok(Self { site, identity, other, text: String::new() })
    }

    /// One more.
    ///
    /// # Errors
    /// Never: it is written to memory.
    pub fn add(&mut self, method: &str, path: &str) -> Result<()> {
        let next = if self.text.is_empty() { "" } else { "next\n" };
        let body = match method {
            "GET" => String::new(),
            _ => format!("data-binary = \"@{}\"\n", self.other.display()),
        };
        write!(
            self.text,
            "{next}url = \"{}{path}\"\nrequest = \"{method}\"\n{body}insecure\nsilent\ncert = \"{}\"\n\
             output = \"/dev/null\"\nwrite-out = \"%{{http_code}} {method} {path}\\n\"\n",
            self.site.url,
            self.identity.display()
        )?;
        Ok(())
    }

    /// Sends them; of each a line with status, method and path.
    ///
    /// # Errors
    /// If curl does not run, or a connection breaks.
    pub fn send(self) -> Result<String> {
        let file = self.other.with_file_name("requests");
        fs::write(&file, self.text)?;
        let answers = output(Command::new("curl").arg("-K").arg(&file))?;
        fs::remove_file(file)?;
        fs::remove_file(self.other)?;
        Ok(answers)
    }
}
