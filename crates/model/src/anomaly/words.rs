//! Reasons in words, Indonesian and English.

use super::{Reason, Signal};

/// Millionths as percent with one decimal: `12.3` and the decimal sign of the language.
fn percent(ppm: u64, decimal: char) -> String {
    let tenths = ppm.saturating_add(500) / 1000;
    format!("{}{decimal}{} %", tenths / 10, tenths % 10)
}

impl Reason {
    /// The reason in Indonesian.
    #[must_use]
    pub fn indonesian(&self) -> String {
        let what = match self.signal {
            Signal::RewrittenFiles => "berkas lama yang isinya kembali sebagai data acak",
            Signal::RewrittenBytes => "isi lama (byte) yang kembali sebagai data acak",
            Signal::Renamed => "berkas yang berganti ekstensi",
            Signal::Removed => "berkas yang hilang tanpa pengganti",
            Signal::Changed => "berkas yang berubah",
            Signal::Incompressible => "data baru berkas lama yang tidak termampatkan",
            Signal::Undeduplicated => "isi berkas lama yang belum pernah tersimpan",
        };
        let runs = if self.runs > 1 {
            format!(" dalam {} kali pencadangan", self.runs)
        } else {
            String::new()
        };
        let (observed, usual) = (percent(self.observed_ppm, ','), percent(self.usual_ppm, ','));
        format!("{what}: {observed}{runs}, biasanya {usual}")
    }

    /// The reason in English.
    #[must_use]
    pub fn english(&self) -> String {
        let what = match self.signal {
            Signal::RewrittenFiles => "files that came back as random data",
            Signal::RewrittenBytes => "bytes that came back as random data",
            Signal::Renamed => "files with a new extension",
            Signal::Removed => "files gone and not replaced",
            Signal::Changed => "files changed",
            Signal::Incompressible => "new data in old files that does not compress",
            Signal::Undeduplicated => "content of old files that was not stored before",
        };
        let runs = if self.runs > 1 { format!(" over {} runs", self.runs) } else { String::new() };
        let (observed, usual) = (percent(self.observed_ppm, '.'), percent(self.usual_ppm, '.'));
        format!("{what}: {observed}{runs}, usually {usual}")
    }
}
