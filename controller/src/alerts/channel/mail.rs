//! Electronic mail: one SMTP dialogue (RFC 5321) for each message, with the recipient's answer kept apart from the server's.
//!
//! Invariants: without TLS nothing is sent but to this machine; a message has the same Message-ID each time that it is sent,
//! so that mail programs show it once; only what is refused after the recipient was named is refused for good.

use std::time::{Duration, SystemTime};

use lettre::address::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lumbung_wire::messages::alerts::{ChannelKind, Severity};
use tokio::time::timeout;

use super::credential::{Credential, CredentialError};
use super::web::short;
use super::{ChannelError, Outcome, PATIENCE};
use crate::alerts::settings::{self, MailSecurity};
use crate::db::deliveries::Outgoing;

/// How long a connection is waited for.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the answer to a farewell is waited for: nothing depends on it.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Mail {
    host: String,
    port: u16,
    security: MailSecurity,
    tls: TlsParameters,
    from: Mailbox,
    login: Option<(String, Credential)>,
}

impl Mail {
    pub(super) fn open(settings: &settings::Mail) -> Result<Self, ChannelError> {
        let wrong = |reason: String| ChannelError::Tls { channel: ChannelKind::Mail, reason };
        let mut tls = TlsParameters::builder(settings.host.clone());
        if let Some(path) = &settings.ca_file {
            let failed = |source| CredentialError::Read { path: path.clone(), source };
            let pem = std::fs::read(path).map_err(failed)?;
            let authority =
                Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
            tls = tls.add_root_certificate(authority);
        }
        let from = settings.from.parse();
        let login = match (&settings.user, &settings.password_file) {
            (Some(user), Some(file)) => Some((user.clone(), file.read()?)),
            _ => None,
        };
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port.unwrap_or(match settings.security {
                MailSecurity::Tls => 465,
                MailSecurity::Starttls => 587,
                MailSecurity::None => 25,
            }),
            security: settings.security,
            tls: tls.build_rustls().map_err(|error| wrong(error.to_string()))?,
            from: from.map_err(|_| ChannelError::Value("alerts.mail.from must be an address"))?,
            login,
        })
    }

    pub(super) async fn send(&self, message: &Outgoing) -> Outcome {
        let Ok(to) = message.to.to.parse::<Address>() else {
            return Outcome::Never("this is not a mail address".to_owned());
        };
        let written = match self.write(message, to.clone()) {
            Ok(written) => written,
            Err(error) => return Outcome::Never(short(&error.to_string())),
        };
        // Until the text goes over, nothing can have arrived.
        let mut server = match timeout(PATIENCE, self.reach()).await {
            Ok(Ok(server)) => server,
            Ok(Err(error)) => {
                return Outcome::Later(short(&lumbung_model::with_causes(&error)), None);
            }
            Err(_) => return Outcome::Later("the mail server does not answer".to_owned(), None),
        };
        match timeout(PATIENCE, hand_over(&mut server, &self.from.email, to, &written)).await {
            Ok(outcome) => {
                let _ = timeout(FAREWELL, server.quit()).await;
                outcome
            }
            Err(_) => Outcome::Unanswered("the mail server went silent".to_owned()),
        }
    }

    /// The server, greeted, encrypted and logged in.
    async fn reach(&self) -> Result<AsyncSmtpConnection, Error> {
        let hello = ClientId::default();
        let tls = (self.security == MailSecurity::Tls).then(|| self.tls.clone());
        let address = (self.host.as_str(), self.port);
        let mut server =
            AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT), &hello, tls, None).await?;
        if self.security == MailSecurity::Starttls {
            // Fails where the server offers none.
            server.starttls(self.tls.clone(), &hello).await?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            server.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(server)
    }

    fn write(&self, message: &Outgoing, to: Address) -> Result<Vec<u8>, lettre::error::Error> {
        let since_1970 = Duration::from_secs(message.made.0.max(0).unsigned_abs());
        let id = format!("<{}@{}>", message.id, self.from.email.domain());
        let mut written = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&message.subject)
            .message_id(Some(id))
            .date(SystemTime::UNIX_EPOCH + since_1970)
            .header(ContentType::TEXT_PLAIN)
            // Nobody's absence note answers it (RFC 3834).
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("X-Lumbung-Delivery", &message.id.to_string()));
        if message.severity == Severity::Critical {
            written = written.raw_header(raw("Importance", "high"));
        }
        if message.maybe_repeated {
            written = written.raw_header(raw("X-Lumbung-Possible-Repeat", "yes"));
        }
        Ok(written.body(message.body.clone())?.formatted())
    }
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Names sender and recipient, and hands the text over.
async fn hand_over(
    server: &mut AsyncSmtpConnection,
    from: &Address,
    to: Address,
    text: &[u8],
) -> Outcome {
    let later = |error: Error| Outcome::Later(short(&lumbung_model::with_causes(&error)), None);
    let refused = |error: Error| {
        let reason = short(&lumbung_model::with_causes(&error));
        if error.is_permanent() { Outcome::Never(reason) } else { Outcome::Later(reason, None) }
    };
    // What is refused before the recipient is named is about us.
    if let Err(error) = server.command(MailFrom::new(Some(from.clone()), vec![])).await {
        return later(error);
    }
    if let Err(error) = server.command(Rcpt::new(to, vec![])).await {
        return refused(error);
    }
    if let Err(error) = server.command(Data).await {
        return later(error);
    }
    match server.message(text).await {
        Ok(_) => Outcome::Sent,
        Err(error) if error.status().is_some() => refused(error),
        Err(error) => Outcome::Unanswered(short(&lumbung_model::with_causes(&error))),
    }
}
