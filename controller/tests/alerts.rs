//! The channels against real servers: exim with TLS and passwords, delivering into a maildir; and loopback servers that hold
//! Telegram's and the webhooks' contract against every request, and fail as they are told to.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::VecDeque;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::IntoResponse as _;
use http::{HeaderMap, Method, StatusCode, Uri};
use lumbung_controller::alerts::Settings;
use lumbung_controller::alerts::address::Address;
use lumbung_controller::alerts::channel::{
    Channels, Outcome, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature,
};
use lumbung_controller::db::deliveries::Outgoing;
use lumbung_controller::state_dir::StateDir;
use lumbung_model::{AlertId, DeliveryId, SystemClock, Timestamp};
use lumbung_wire::messages::alerts::{ChannelKind, DeliveryCause, Severity};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_800_000_000);
const SECRET: &str = "rahasia bersama";
const TOKEN: &str = "123456:ABC-DEF_ghi";

fn message(channel: ChannelKind, to: &str) -> Outgoing {
    Outgoing {
        id: DeliveryId::random(),
        cause: DeliveryCause::Alert,
        severity: Severity::Critical,
        recipient: "name:noc".into(),
        to: Address { channel, to: to.into() },
        subject: "[Lumbung] GENTING: DINKES: cadangan disembunyikan — segera".into(),
        body: "Sejak: 2027-01-15 15:00 WIB\n- <b>bukan tebal</b> & *bukan miring*\n".into(),
        made: NOW,
        waits: NOW,
        attempts: 1,
        maybe_repeated: false,
        alerts: vec![(AlertId::random(), "first".into())],
    }
}

fn secret(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, format!("{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn channels(text: &str) -> Channels {
    let settings: Settings = toml::from_str(text).unwrap();
    assert_eq!(settings.check(), Ok(()));
    Channels::open(&settings).unwrap()
}

fn later(outcome: Outcome) -> (String, Option<u32>) {
    match outcome {
        Outcome::Later(reason, after_s) => (reason, after_s),
        other => panic!("{other:?}"),
    }
}

fn never(outcome: Outcome) -> String {
    match outcome {
        Outcome::Never(reason) => reason,
        other => panic!("{other:?}"),
    }
}

/// How a loopback server answers next.
enum Answer {
    Status(StatusCode, Value),
    RetryAfter(u32),
    /// Takes the request, and closes the connection without an answer.
    Silence,
}

/// A request as it came.
struct Request {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Value,
    raw: Vec<u8>,
}

#[derive(Clone, Default)]
struct Loopback {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Loopback {
    async fn start() -> (Self, SocketAddr) {
        let own = Self::default();
        let router = Router::new().fallback(Self::take).with_state(own.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (own, address)
    }

    async fn take(
        State(own): State<Self>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> axum::response::Response {
        own.requests.lock().unwrap().push(Request {
            method,
            path: uri.path().to_owned(),
            headers,
            body: serde_json::from_slice(&body).unwrap(),
            raw: body.to_vec(),
        });
        let answer = own.answers.lock().unwrap().pop_front();
        match answer {
            None => {
                (StatusCode::OK, json!({ "ok": true, "result": {} }).to_string()).into_response()
            }
            Some(Answer::Status(status, body)) => (status, body.to_string()).into_response(),
            Some(Answer::RetryAfter(seconds)) => {
                (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", seconds.to_string())])
                    .into_response()
            }
            // The connection is dropped where the handler panics.
            Some(Answer::Silence) => panic!("no answer, as the test asks for"),
        }
    }

    fn next(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    fn last<T>(&self, read: impl FnOnce(&Request) -> T) -> T {
        read(self.requests.lock().unwrap().last().unwrap())
    }
}

#[tokio::test]
async fn telegram_gets_plain_text_as_its_api_asks_and_its_answers_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = Loopback::start().await;
    let token = secret(dir.path(), "token", TOKEN);
    let channels = channels(&format!(
        "[telegram]\ntoken_file = \"{token}\"\nbase_url = \"http://{address}/\""
    ));
    let mut one = message(ChannelKind::Telegram, "-1001234567890");
    assert_eq!(channels.send(&one, NOW).await, Outcome::Sent);
    server.last(|request| {
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.path, format!("/bot{TOKEN}/sendMessage"));
        assert_eq!(request.headers["content-type"], "application/json");
        let expected = json!({
            "chat_id": -1_001_234_567_890_i64,
            "text": format!("{}\n\n{}", one.subject, one.body),
            "link_preview_options": { "is_disabled": true },
            "disable_notification": false,
        });
        assert_eq!(request.body, expected, "and no parse_mode");
    });
    // What may have arrived before says so; what is too long is cut where Telegram counts.
    (one.maybe_repeated, one.body) = (true, "🌾".repeat(5000));
    assert_eq!(channels.send(&one, NOW).await, Outcome::Sent);
    server.last(|request| {
        let text = request.body["text"].as_str().unwrap();
        assert!(text.starts_with("(Pesan ini mungkin sudah terkirim"), "{text}");
        assert!(text.encode_utf16().count() <= 4096);
    });
    let answer =
        |status: u16, body: Value| Answer::Status(StatusCode::from_u16(status).unwrap(), body);
    let busy = json!({ "ok": false, "description": "Too Many Requests", "parameters": { "retry_after": 42 } });
    server.next(answer(429, busy));
    assert_eq!(later(channels.send(&one, NOW).await).1, Some(42));
    for status in [400, 403] {
        server.next(answer(
            status,
            json!({ "ok": false, "description": "bot was blocked by the user" }),
        ));
        assert!(never(channels.send(&one, NOW).await).contains("blocked"));
    }
    // A token that is wrong is ours to mend, and no fault of the chat's.
    for status in [401, 404, 500, 502] {
        server.next(answer(status, json!({ "ok": false })));
        later(channels.send(&one, NOW).await);
    }
    // Neither what is unanswered nor what is refused tells the token.
    server.next(Answer::Silence);
    let Outcome::Unanswered(reason) = channels.send(&one, NOW).await else { panic!("answered") };
    assert!(!reason.contains("ABC-DEF"), "{reason}");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let channels = self::channels(&format!(
        "[telegram]\ntoken_file = \"{token}\"\nbase_url = \"http://{gone}\""
    ));
    let (reason, _) = later(channels.send(&one, NOW).await);
    assert!(!reason.contains("ABC-DEF"), "{reason}");
    one.to.to = "@channel".into();
    never(channels.send(&one, NOW).await);
}

#[tokio::test]
async fn a_webhook_gets_a_signed_document_and_only_gone_means_never() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = Loopback::start().await;
    let file = secret(dir.path(), "secret", SECRET);
    let channels = channels(&format!("[webhook]\nsecret_file = \"{file}\""));
    let one = message(ChannelKind::Webhook, &format!("http://{address}/hook"));
    assert_eq!(channels.send(&one, NOW).await, Outcome::Sent);
    server.last(|request| {
        assert_eq!((&request.method, request.path.as_str()), (&Method::POST, "/hook"));
        assert_eq!(request.headers["idempotency-key"], one.id.to_string().as_str());
        assert_eq!(request.headers[TIMESTAMP_HEADER], NOW.0.to_string().as_str());
        let signed = signature(SECRET, NOW, &request.raw);
        assert_eq!(request.headers[SIGNATURE_HEADER], signed.as_str());
        let expected = json!({
            "version": 1,
            "id": one.id,
            "cause": "alert",
            "severity": "critical",
            "made": NOW,
            "recipient": "name:noc",
            "subject": one.subject,
            "text": one.body,
            "alerts": [{ "id": one.alerts[0].0, "cause": "first" }],
            "attempt": 1,
            "maybe_repeated": false,
        });
        assert_eq!(request.body, expected);
    });
    server.next(Answer::Status(StatusCode::GONE, json!("closed")));
    never(channels.send(&one, NOW).await);
    for status in [400, 401, 404, 500, 302] {
        server.next(Answer::Status(StatusCode::from_u16(status).unwrap(), json!("no")));
        later(channels.send(&one, NOW).await);
    }
    server.next(Answer::RetryAfter(120));
    assert_eq!(later(channels.send(&one, NOW).await).1, Some(120));
    server.next(Answer::Silence);
    assert!(matches!(channels.send(&one, NOW).await, Outcome::Unanswered(_)));
}

/// An exim of this test's own, which delivers into a maildir.
struct Exim {
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

const EXIM: &str = r#"
primary_hostname = mail.test
qualify_domain = test
spool_directory = DIR/spool
log_file_path = DIR/spool/log-%slog
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = DIR/tls.crt
tls_privatekey = DIR/tls.key
host_lookup =
rfc1413_hosts =
keep_environment =
queue_run_in_order
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt
USERS
begin acl
check_mail:
  deny !authenticated = *
       message = log in first
  accept
check_rcpt:
  deny condition = ${if eq{$local_part}{nobody}}
       message = no such person
  defer condition = ${if eq{$local_part}{later}}
       message = come again
  accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  directory = DIR/mail
  maildir_format
  create_directory
  directory_mode = 0755
  mode = 0644
  envelope_to_add
DELIVERY_USER
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{lumbung}}{eq{$auth3}{kata sandi}}}}
  server_advertise_condition = ${if def:tls_in_cipher}
  server_set_id = $auth2
"#;

impl Exim {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Where root starts it, exim becomes a user of its own.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = dir.path().join("ca");
        StateDir::at(&data).init(&["localhost".to_owned()], &SystemClock).unwrap();
        for (from, to) in [("server.crt", "tls.crt"), ("server.key", "tls.key")] {
            fs::copy(data.join(from), dir.path().join(to)).unwrap();
            fs::set_permissions(dir.path().join(to), fs::Permissions::from_mode(0o644)).unwrap();
        }
        for name in ["spool", "mail"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o777)).unwrap();
        }
        let root = rustix::process::geteuid().is_root();
        let users = "exim_user = Debian-exim\nexim_group = Debian-exim\n";
        let text = EXIM
            .replace("USERS", if root { users } else { "" })
            .replace("DELIVERY_USER", if root { "  user = Debian-exim\n" } else { "" })
            .replace("DIR", &dir.path().display().to_string());
        fs::write(dir.path().join("exim.conf"), text).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut exim = Self { dir, port, child: None };
        exim.run();
        exim
    }

    fn run(&mut self) {
        let child = Command::new("/usr/sbin/exim4")
            .arg("-C")
            .arg(self.dir.path().join("exim.conf"))
            .args(["-bdf", "-oX", &format!("127.0.0.1.{}", self.port), "-oP"])
            .arg(self.dir.path().join("spool/pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("cargo xtask test installs exim4-daemon-light");
        self.child = Some(child);
        self.await_that(|| TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    fn await_that(&self, holds: impl Fn() -> bool) {
        for _ in 0..600 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.dir.path().join("spool/log-mainlog"));
        panic!("exim does not come to it: {log:?}");
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn mails(&self) -> Vec<String> {
        let files = fs::read_dir(self.dir.path().join("mail/new")).into_iter().flatten();
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    fn settings(&self, password: &str) -> String {
        let password = secret(self.dir.path(), "password", password);
        format!(
            "[mail]\nhost = \"localhost\"\nport = {}\nfrom = \"Lumbung <lumbung@kota.example.go.id>\"\n\
             user = \"lumbung\"\npassword_file = \"{password}\"\nca_file = \"{}\"\n",
            self.port,
            self.dir.path().join("ca/ca.crt").display()
        )
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        self.stop();
    }
}

fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    let found = mail.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap_or_else(|| panic!("no {name}: {mail}")).trim()
}

#[tokio::test]
async fn mail_goes_through_a_real_server_with_tls_and_comes_once_by_its_id() {
    let mut exim = Exim::start();
    let channels = self::channels(&exim.settings("kata sandi"));
    let mut one = message(ChannelKind::Mail, "budi@example.go.id");
    assert_eq!(channels.send(&one, NOW).await, Outcome::Sent);
    one.maybe_repeated = true;
    assert_eq!(channels.send(&one, NOW).await, Outcome::Sent);
    exim.await_that(|| exim.mails().len() == 2);
    let mails = exim.mails();
    let id = format!("<{}@kota.example.go.id>", one.id);
    for mail in &mails {
        assert_eq!(header(mail, "Message-ID:").to_owned(), id, "mail programs show it once");
        assert_eq!(header(mail, "Date:"), "Fri, 15 Jan 2027 08:00:00 +0000");
        assert_eq!(header(mail, "Auto-Submitted:"), "auto-generated");
        assert_eq!(header(mail, "Envelope-to:"), "budi@example.go.id");
        assert!(mail.contains("with esmtpsa"), "it came by TLS, logged in: {mail}");
    }
    assert_eq!(
        mails.iter().filter(|mail| mail.contains("X-Lumbung-Possible-Repeat: yes")).count(),
        1
    );
    // The server's answer to the recipient, and nothing else, is for good.
    one.to.to = "nobody@example.go.id".into();
    assert!(never(channels.send(&one, NOW).await).contains("no such person"));
    one.to.to = "later@example.go.id".into();
    assert!(later(channels.send(&one, NOW).await).0.contains("come again"));
    one.to.to = "budi\r\nRCPT TO:<x@y>".into();
    never(channels.send(&one, NOW).await);
    one.to.to = "budi@example.go.id".into();
    let wrong = self::channels(&exim.settings("salah"));
    later(wrong.send(&one, NOW).await);
    // Lines of a text make no header, and a dot ends no mail.
    one.subject = "satu\r\nBcc: lain@example.go.id".into();
    one.body = "a\n.\nb\n".into();
    let outcome = channels.send(&one, NOW).await;
    if outcome == Outcome::Sent {
        exim.await_that(|| exim.mails().len() == 3);
        let mails = exim.mails();
        assert!(
            mails.iter().all(|mail| !mail.lines().any(|line| line.starts_with("Bcc:"))),
            "{mails:?}"
        );
    }
    exim.stop();
    later(channels.send(&one, NOW).await);
    exim.run();
    one.subject = "[Lumbung] kembali".into();
    assert_eq!(channels.send(&one, NOW).await, Outcome::Sent);
}

#[tokio::test]
async fn without_tls_nothing_is_said_to_a_mail_server() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // A server that offers no STARTTLS, and tells what it was told.
    let told = std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        let (stream, _) = listener.accept().unwrap();
        let mut lines = Vec::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        (&stream).write_all(b"220 mail.test ESMTP\r\n").unwrap();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            (&stream).write_all(b"250 mail.test\r\n").unwrap();
            lines.push(std::mem::take(&mut line));
        }
        lines
    });
    let password = secret(dir.path(), "password", "kata sandi");
    let channels = channels(&format!(
        "[mail]\nhost = \"localhost\"\nport = {port}\nfrom = \"l@example.go.id\"\nuser = \"l\"\npassword_file = \"{password}\""
    ));
    later(channels.send(&message(ChannelKind::Mail, "budi@example.go.id"), NOW).await);
    let told = told.join().unwrap();
    assert!(
        told.iter().all(|line| line.starts_with("EHLO") || line.starts_with("QUIT")),
        "{told:?}"
    );
}
