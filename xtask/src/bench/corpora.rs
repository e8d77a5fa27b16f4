//! The data of the benchmarks, generated: the same bytes on every machine.
//!
//! Each kind stands for something that city servers hold: a dump of SQL, scans and archives, a mail spool of tiny
//! files, a database file of which some pages change from night to night.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Result, bail};

/// A page of a database file.
const PAGE_BYTES: usize = 8192;
/// Pages of the database file: 512 MiB.
const PAGES: u64 = 65_536;
const DUMP_BYTES: usize = 560_000_000;
const PACKED_FILES: u64 = 400;
const TINY_IN_DIRECTORY: u64 = 250;

/// `SplitMix64`: as even as benchmarks need, and the same everywhere.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
    }
}

/// What a corpus is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Many small files of source text: always given.
    Src,
    /// One dump of SQL.
    Db,
    /// Archives and media: nothing that shrinks.
    Packed,
    /// Very many tiny files.
    Tiny,
    /// A database file; 2 % of its pages change between runs.
    Pages,
}

impl Kind {
    pub(super) fn of(name: &str) -> Result<Self> {
        Ok(match name {
            "src" => Self::Src,
            "db" => Self::Db,
            "packed" => Self::Packed,
            "tiny" => Self::Tiny,
            "pages" => Self::Pages,
            _ => bail!("no corpus is called {name}: src=DIR, db, packed, tiny or pages"),
        })
    }

    /// What has changed between the second run and the third.
    pub(super) const fn change(self) -> &'static str {
        match self {
            Self::Pages => "2 % of the pages",
            _ => "1 % of the files",
        }
    }

    /// Makes the corpus in a directory that is not there yet.
    pub(super) fn generate(self, directory: &Path, tiny_files: u64) -> Result<()> {
        fs::create_dir_all(directory)?;
        match self {
            Self::Src => bail!("src is not generated: --corpus src=DIR names source files"),
            Self::Db => dump(&directory.join("dump.sql")),
            Self::Packed => packed(directory),
            Self::Tiny => tiny(directory, tiny_files),
            Self::Pages => pages(&directory.join("data.db")),
        }
    }
}

fn dump(path: &Path) -> Result<()> {
    const NAMES: [&str; 8] = ["Siti", "Budi", "Agus", "Dewi", "Rina", "Joko", "Putri", "Wayan"];
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut row) = (0, 0_usize);
    while written < DUMP_BYTES {
        let mut statement = String::from("INSERT INTO `penduduk` VALUES ");
        for n in 0..1000 {
            let separator = if n == 0 { "(" } else { "),\n(" };
            row += 1;
            // As in a table that was filled village by village: a row differs from the one before in little.
            statement.push_str(&format!(
                "{separator}{row},'{} {}','Kelurahan Sukajadi RT {:02}/RW {:02}','1990-{:02}-01','aktif',\
                 'Kecamatan Medan Helvetia, Kota Medan, Sumatera Utara',NULL,NULL,0,0",
                NAMES[row % 8],
                NAMES[row / 8 % 8],
                row / 400 % 12,
                row / 4800 % 9,
                row / 50 % 12 + 1,
            ));
        }
        statement.push_str(");\n");
        written += statement.len();
        out.write_all(statement.as_bytes())?;
    }
    Ok(out.flush()?)
}

fn packed(directory: &Path) -> Result<()> {
    let mut numbers = Numbers(2);
    for n in 0..PACKED_FILES {
        // 200 kB to 4 MB.
        let length = 200_000 + numbers.next() % 3_800_000;
        let mut bytes = vec![0; usize::try_from(length)?];
        numbers.fill(&mut bytes);
        fs::write(directory.join(format!("pindai-{n:04}.jpg")), bytes)?;
    }
    Ok(())
}

fn tiny(directory: &Path, files: u64) -> Result<()> {
    let mut numbers = Numbers(3);
    let mut folder = directory.to_path_buf();
    for n in 0..files {
        if n % TINY_IN_DIRECTORY == 0 {
            let number = n / TINY_IN_DIRECTORY;
            folder = directory.join(format!("{:03}/{:03}", number / 100, number % 100));
            fs::create_dir_all(&folder)?;
        }
        let random = numbers.next();
        let text =
            format!("Dari: warga-{}@kota.example\nPerihal: surat {n}\n{random:016x}\n", n % 977);
        let times = usize::try_from(random % 12)? + 1;
        fs::write(folder.join(format!("surat-{n}.eml")), text.repeat(times))?;
    }
    Ok(())
}

/// A page: rows of text, and a third of it noise.
fn page(number: u64, version: u64) -> Vec<u8> {
    let mut numbers = Numbers(number.wrapping_mul(0x1000) ^ version);
    let mut page = Vec::with_capacity(PAGE_BYTES + 100);
    page.extend_from_slice(&number.to_le_bytes());
    while page.len() < PAGE_BYTES * 2 / 3 {
        let row = numbers.next();
        page.extend_from_slice(
            format!(
                "{:08}|Puskesmas {:03}|kunjungan|{:04}|",
                row % 99_999_999,
                row % 97,
                row % 2000
            )
            .as_bytes(),
        );
    }
    let filled = page.len();
    page.resize(PAGE_BYTES, 0);
    numbers.fill(&mut page[filled..]);
    page
}

fn pages(path: &Path) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for number in 0..PAGES {
        out.write_all(&page(number, 0))?;
    }
    Ok(out.flush()?)
}

/// Writes 2 % of the pages anew, wherever they are: the same ones for every tool.
pub(super) fn change_pages(directory: &Path) -> Result<()> {
    let file = File::options().write(true).open(directory.join("data.db"))?;
    let mut numbers = Numbers(4);
    for _ in 0..PAGES / 50 {
        let number = numbers.next() % PAGES;
        file.write_all_at(&page(number, 1), number * PAGE_BYTES as u64)?;
    }
    Ok(())
}

/// Appends a line to every hundredth of these files, the same files for every tool.
pub(super) fn append_to_one_percent(mut files: Vec<std::path::PathBuf>) -> Result<()> {
    files.sort();
    for file in files.iter().step_by(100) {
        let mode = file.metadata()?.permissions();
        let mut open = File::options().append(true).open(file)?;
        writeln!(open, "one line more")?;
        fs::set_permissions(file, mode)?;
    }
    Ok(())
}
