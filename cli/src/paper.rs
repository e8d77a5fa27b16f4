//! The paper key: a bundle's text and the same text as a QR code, drawn with half blocks.
//!
//! Invariant: text and code carry exactly the file's lines without comments (on paper each with its number and a check, so
//! that a mistyped one is named), so that typing or scanning either gives a file that opens with the passphrase. Nothing is decrypted to print it.

use std::io::IsTerminal as _;

use lumbung_pack::armor;
use lumbung_seal::KeyBundlePublic;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::failure::{Code, Failure, Outcome};
use crate::terminal::{Terminal, printable};

/// The file's lines that matter.
#[must_use]
pub(crate) fn bare(text: &str) -> String {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The QR code of a key file.
///
/// # Errors
/// If the text is too long for one code.
pub(crate) fn code(text: &str) -> Outcome<QrCode> {
    QrCode::with_error_correction_level(bare(text), EcLevel::M).map_err(|e| {
        Failure::new(
            Code::BadFile,
            "the key file is too long for a QR code",
            "print it with --no-qr",
        )
        .because(e)
    })
}

/// The whole page.
#[must_use]
pub(crate) fn page(
    text: &str,
    public: &KeyBundlePublic,
    qr: Option<&QrCode>,
    terminal: &Terminal,
) -> String {
    let title = terminal.pick("LUMBUNG: kunci di atas kertas", "LUMBUNG: paper key");
    let how = terminal.pick(
        "Simpan terpisah dari frasa sandinya. Untuk memakainya: ketik ulang atau pindai baris-baris ini\n\
         ke dalam sebuah berkas, lalu `lumbung key check BERKAS`.",
        "Keep it apart from its passphrase. To use it: type or scan these lines into a file, then run\n\
         `lumbung key check FILE`.",
    );
    let label = printable(public.label().as_bytes());
    let root = public.root_public();
    let mut page =
        format!("{title}\n\n  {label}\n  {root}\n\n{how}\n\n{}", armor::number_lines(&bare(text)));
    if let Some(code) = qr {
        page.push('\n');
        page.push_str(&draw(code, std::io::stdout().is_terminal()));
    }
    page
}

/// A page for whoever keeps a share: its text with a check for each line, and the QR code of the same share.
#[must_use]
pub(crate) fn share_page(head: &str, text: &str, qr: &QrCode) -> String {
    format!("{head}\n{text}\n{}", draw(qr, false))
}

/// Half blocks, dark on light; on a terminal the colours are set, since most are light on dark.
fn draw(code: &QrCode, coloured: bool) -> String {
    // The crate's `Dark` is a filled cell, its `Light` an empty one: ink on paper.
    let drawn =
        code.render::<Dense1x2>().dark_color(Dense1x2::Dark).light_color(Dense1x2::Light).build();
    if !coloured {
        return drawn + "\n";
    }
    drawn.lines().map(|line| format!("\x1b[30;107m{line}\x1b[0m\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_not_printed() {
        assert_eq!(bare("# safe\nTITLE 1\n\n ABC \n"), "TITLE 1\nABC\n");
    }

    #[test]
    fn a_code_is_dark_on_light_and_fits_the_page() {
        let code =
            code(&format!("LUMBUNG KEY BUNDLE 1\n{}", "ABCD234\n".repeat(60))).expect("it fits");
        let drawn = draw(&code, false);
        // The quiet zone around the code is light: empty on paper.
        assert!(drawn.lines().next().is_some_and(|line| line.trim().is_empty()), "{drawn}");
        assert!(drawn.contains('█'));
        assert!(drawn.lines().all(|line| line.chars().count() <= 100), "{drawn}");
    }
}
