//! The paper key: a bundle's text and the same text as a QR code, drawn with half blocks.
//!
//! Invariant: text and code carry exactly the file's lines without comments (on paper each with its number and a check, so
//! that a mistyped one is named), so that typing or scanning either gives a file that opens with the passphrase. A code is
//! given only once what is drawn was read back as that text. Nothing is decrypted to print it.

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

/// The QR code of a key file, read back as it will be drawn.
///
/// # Errors
/// If the text is too long for one code, or the drawing reads as another text.
pub(crate) fn code(text: &str) -> Outcome<QrCode> {
    let code = QrCode::with_error_correction_level(bare(text), EcLevel::M).map_err(|e| {
        Failure::new(
            Code::BadFile,
            "the key file is too long for a QR code",
            "print it with --no-qr",
        )
        .because(e)
    })?;
    if read_back(&draw(&code, false)).is_some_and(|read| read == bare(text)) {
        return Ok(code);
    }
    let message = "the QR code that was drawn does not read back as the key's text";
    let next = "try again, or print it with --no-qr; if it repeats, do not trust this machine";
    Err(Failure::new(Code::DamagedKeyFile, message, next))
}

/// What a drawing in half blocks says to whoever scans it: decoded from the drawn characters, not from what they were made of.
fn read_back(drawn: &str) -> Option<String> {
    /// Dots a module: a decoder looks for edges.
    const SCALE: usize = 4;
    let mut rows: Vec<Vec<bool>> = Vec::new();
    for line in drawn.lines() {
        let halves = line.chars().map(|c| match c {
            '█' => (true, true),
            '▀' => (true, false),
            '▄' => (false, true),
            _ => (false, false),
        });
        let (upper, lower) = halves.unzip();
        rows.extend([upper, lower]);
    }
    let width = rows.iter().map(Vec::len).max()?;
    let dark = |x: usize, y: usize| {
        rows.get(y / SCALE).and_then(|row: &Vec<bool>| row.get(x / SCALE)).is_some_and(|dot| *dot)
    };
    let (wide, high) = (width * SCALE, rows.len() * SCALE);
    let mut image = rqrr::PreparedImage::prepare_from_bitmap(wide, high, dark);
    let grids = image.detect_grids();
    let [grid] = grids.as_slice() else { return None };
    Some(grid.decode().ok()?.1)
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
    fn what_is_drawn_reads_back_and_a_damaged_drawing_does_not_pass() {
        for length in [1, 20, 60, 100] {
            let text = format!("LUMBUNG KEY BUNDLE 1\n{}", "ABCD234\n".repeat(length));
            let drawn = draw(&code(&text).expect("it reads back"), false);
            assert_eq!(read_back(&drawn), Some(text.clone()), "{length}");
            // Half of it light: nothing that error correction mends.
            let lines = drawn.lines().count();
            let cut: String = drawn.lines().take(lines / 2).flat_map(|line| [line, "\n"]).collect();
            assert_ne!(read_back(&cut), Some(text), "{length}");
        }
        assert_eq!(read_back(""), None);
        let (one, other) = ("TITLE 1\nABC\n", "TITLE 1\nABD\n");
        let drawn = draw(&code(one).expect("it reads back"), false);
        assert_ne!(read_back(&drawn).as_deref(), Some(other));
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
