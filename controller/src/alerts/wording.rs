//! What kinds of alarms are called for people, and what to do about them, in both languages.

use crate::report::Language;

struct Words {
    kind: &'static str,
    /// What it is: Indonesian, English.
    title: (&'static str, &'static str),
    /// What to do next: Indonesian, English.
    next: (&'static str, &'static str),
}

const fn words(
    kind: &'static str,
    title: (&'static str, &'static str),
    next: (&'static str, &'static str),
) -> Words {
    Words { kind, title, next }
}

const VAULT_AT_ONCE: (&str, &str) = (
    "Periksa vault situs itu sekarang; jangan hapus apa pun.",
    "Look at that site's vault at once; delete nothing.",
);

const KINDS: &[Words] = &[
    words("hidden", ("Situs menyembunyikan cadangan", "A site hides snapshots"), VAULT_AT_ONCE),
    words(
        "removal",
        ("Situs menghapus cadangan terlalu dini", "A site removed snapshots too early"),
        VAULT_AT_ONCE,
    ),
    words(
        "receipt-gap",
        ("Nomor tanda terima situs melompat", "A gap in a site's receipts"),
        VAULT_AT_ONCE,
    ),
    words(
        "manifest",
        ("Rantai cadangan bercabang", "A chain of snapshots is forked"),
        VAULT_AT_ONCE,
    ),
    words(
        "roster",
        ("Roster repositori tidak sah", "A repository's roster is not valid"),
        (
            "Bandingkan dengan roster pada pemegang kunci PD; jangan terima yang baru.",
            "Compare it with the roster that the PD's key custodian has; accept no new one.",
        ),
    ),
    words(
        "anomaly",
        ("Perubahan data tidak wajar", "Data changes abnormally"),
        (
            "Kemungkinan ransomware: putuskan server dari jaringan, jangan hapus cadangan.",
            "It may be ransomware: take the server off the network, delete no backup.",
        ),
    ),
    words(
        "inventory",
        ("Inventaris situs salah", "A site's inventory is wrong"),
        ("Periksa log vault situs itu.", "Look at the log of that site's vault."),
    ),
    words(
        "refused",
        ("Cadangan tidak lolos pemeriksaan", "A snapshot did not pass the checks"),
        ("Periksa log vault dan agen.", "Look at the logs of the vault and the agent."),
    ),
    words(
        "unseen",
        ("Cadangan yang dilaporkan tidak ada di situs", "A reported snapshot is at no site"),
        (
            "Minta tanda terimanya dari server; periksa vault.",
            "Ask the server for its receipt; look at the vaults.",
        ),
    ),
    words(
        "vault",
        ("Peringatan dari vault", "A vault's own alarm"),
        (
            "Periksa vault situs itu: lumbung-vault status.",
            "Look at that site's vault: lumbung-vault status.",
        ),
    ),
    words(
        "order",
        ("Perintah pemusnahan dijalankan", "An order was carried out"),
        ("Cocokkan dengan surat perintahnya.", "Compare it with the letter of the order."),
    ),
    words(
        "policy-pending",
        ("Perubahan kebijakan menunggu persetujuan", "A policy waits for a second person"),
        (
            "Setujui atau tolak: lumbung approval list.",
            "Approve or refuse it: lumbung approval list.",
        ),
    ),
    words(
        "policy-narrowed",
        ("Cadangan server dipersempit", "A server's backup was narrowed"),
        ("Pastikan itu memang diminta.", "Make sure that it was asked for."),
    ),
    words(
        "policy-refused",
        ("Server menolak kebijakan", "A server refuses its policy"),
        ("Periksa agen di server itu.", "Look at the agent on that server."),
    ),
    words(
        "channel",
        ("Pesan tidak sampai", "Messages do not arrive"),
        (
            "Periksa saluran dan alamatnya: lumbung alert test.",
            "Look at the channel and the address: lumbung alert test.",
        ),
    ),
    words(
        "roster-gap",
        ("Daftar piket kosong", "Nobody is on call"),
        ("Isi daftar piket: lumbung on-call add.", "Fill the roster: lumbung on-call add."),
    ),
    words(
        "controller-silent",
        ("Controller tidak menjawab", "The controller is silent"),
        (
            "Periksa server controller; pencadangan tetap berjalan tanpanya.",
            "Look at the controller's machine; backups go on without it.",
        ),
    ),
    words(
        "smart",
        ("Diska server hampir rusak", "A server's disk is failing"),
        ("Ganti diska itu segera.", "Replace the disk soon."),
    ),
    words(
        "capacity",
        ("Ruang simpan akan habis", "Storage will be full"),
        ("Rencanakan pengadaan: lumbung capacity.", "Plan the purchase: lumbung capacity."),
    ),
    words(
        "down",
        ("Layanan atau server mati", "A service or a server is down"),
        (
            "Periksa; catat sebabnya: lumbung incident list --open.",
            "Look at it, and write down why: lumbung incident list --open.",
        ),
    ),
    words(
        "unconfirmed",
        ("Mungkin mati, belum pasti", "Perhaps down, unconfirmed"),
        (
            "Periksa sendiri, juga tempat yang diam: lumbung check list.",
            "Look yourself, and at the place that is silent: lumbung check list.",
        ),
    ),
    words(
        "link",
        ("Jalur satu lokasi terganggu", "One site's link fails"),
        (
            "Periksa jaringan lokasi itu; layanannya sendiri hidup.",
            "Look at that site's network; the service itself is up.",
        ),
    ),
    words(
        "cut-off",
        ("Satu lokasi terputus", "A site is cut off"),
        ("Periksa jalur keluar lokasi itu.", "Look at that site's uplink."),
    ),
    words(
        "certificate",
        ("Sertifikat segera habis", "A certificate expires"),
        ("Perbarui sertifikat itu.", "Renew the certificate."),
    ),
    words(
        "vantage",
        ("Vault tidak lagi memantau", "A vault tells nothing of what it looks at"),
        (
            "Periksa vault itu dan jalurnya ke controller.",
            "Look at that vault, and at its link to the controller.",
        ),
    ),
    words(
        "hardware",
        ("Perangkat berbeda dari register", "Hardware differs from the register"),
        ("Cocokkan: lumbung server show.", "Compare: lumbung server show."),
    ),
    words(
        "caps",
        ("Situs belum mengikuti batas kecepatan", "A site does not keep to the register's caps"),
        (
            "Periksa vault situs itu: lumbung-vault status.",
            "Look at that site's vault: lumbung-vault status.",
        ),
    ),
    words(
        "bandwidth",
        ("Jalur tidak cukup untuk pencadangan", "A line carries too little"),
        ("Lihat kebutuhannya: lumbung bandwidth.", "See what it needs: lumbung bandwidth."),
    ),
    words(
        "asset-warranty",
        ("Garansi habis", "A warranty ends"),
        ("Perpanjang, atau rencanakan penggantinya.", "Extend it, or plan the replacement."),
    ),
    words(
        "asset-age",
        ("Perangkat sudah tua", "A device is old"),
        ("Rencanakan penggantinya.", "Plan its replacement."),
    ),
    words(
        "asset-broken",
        ("Perangkat rusak berat masih terpasang", "A broken device still stands"),
        (
            "Keluarkan atau ganti: lumbung device list.",
            "Take it out or replace it: lumbung device list.",
        ),
    ),
    words(
        "reservation-lapses",
        ("Reservasi rak segera berakhir", "A reservation lapses"),
        (
            "Perpanjang atau lepaskan: lumbung reservation list.",
            "Extend it or let it go: lumbung reservation list.",
        ),
    ),
    words(
        "care-overdue",
        ("Perawatan server terlambat", "A server's care is overdue"),
        ("Kerjakan, lalu catat: lumbung care add.", "See to it, then enter it: lumbung care add."),
    ),
    words(
        "server-place",
        ("Tempat server tercatat dua", "A server is in two places"),
        (
            "Betulkan yang salah: lumbung register set.",
            "Correct the one that is wrong: lumbung register set.",
        ),
    ),
    words(
        "access-kept",
        ("Akses belum dikembalikan", "Access was not handed back"),
        (
            "Minta kembali aksesnya: lumbung handover list.",
            "Have the access handed back: lumbung handover list.",
        ),
    ),
    words(
        "drill-overdue",
        ("Uji pemulihan terlambat", "A drill is overdue"),
        ("Jalankan: lumbung drill calendar.", "Run it: lumbung drill calendar."),
    ),
    words(
        "key-rehearsal",
        ("Geladi kunci terlambat", "A key's rehearsal is overdue"),
        (
            "Bangun dari bagian-bagiannya: lumbung key rehearse.",
            "Rebuild it from its shares: lumbung key rehearse.",
        ),
    ),
    words(
        "drill-unfinished",
        ("Uji pemulihan belum tuntas", "A drill's run is not over"),
        (
            "Periksa, kembalikan yang tersisa: lumbung drill run show.",
            "See to it, put back what is left: lumbung drill run show.",
        ),
    ),
    words(
        "restore-test-failed",
        ("Uji pulih gagal", "A restore test failed"),
        (
            "Baca berita acaranya: lumbung drill acta. Sampai berhasil, data itu belum terbukti pulih.",
            "Read its record: lumbung drill acta. Until one succeeds, that data is not proven restorable.",
        ),
    ),
    words(
        "standby-behind",
        ("Controller cadangan tertinggal", "A standby of the controller has fallen behind"),
        (
            "Periksa layanan dan lognya di sana: lumbung-controller standby.",
            "Look at the service and its log there: lumbung-controller standby.",
        ),
    ),
];

fn find(kind: &str) -> Option<&'static Words> {
    KINDS.iter().find(|words| words.kind == kind)
}

/// What a kind of alarms is called; its own word where nobody has written one down.
pub(super) fn title(kind: &str, language: Language) -> &str {
    find(kind).map_or(kind, |words| language.choose(words.title.0, words.title.1))
}

/// What to do about it.
pub(super) fn next(kind: &str, language: Language) -> &'static str {
    let (indonesian, english) = find(kind).map_or(
        ("Lihat rinciannya: lumbung alert show.", "See the details: lumbung alert show."),
        |words| words.next,
    );
    language.choose(indonesian, english)
}
