//! Electronic mail: one SMTP dialogue (RFC 5321) for each message, with the recipient's answer kept apart from the server's.
//!
//! Invariants: without TLS nothing is sent but to this machine; a message has the same Message-ID each time that it is sent,
//! so that mail programs show it once; only what is said of the recipient's address is refused for good ([`refusal`]).
//! Each phase has the time that RFC 5321 §4.5.3.2 gives it: whoever gives up sooner hands a slow server the mail again.

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
use super::refusal::{self, Phase};
use super::web::short;
use super::{ChannelError, Outcome};
use crate::alerts::settings::{self, MailSecurity};
use crate::db::deliveries::Outgoing;

/// How long a connection is waited for.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the greeting, and the answer to a command is waited for (RFC 5321 §4.5.3.2.1 to 3).
const COMMAND: Duration = Duration::from_secs(300);
/// How long the leave to send the text is waited for (§4.5.3.2.4).
const LEAVE: Duration = Duration::from_secs(120);
/// How long the text may take to go over (§4.5.3.2.5) and its answer to come (§4.5.3.2.6: ten minutes), together: a text
/// is a few kilobytes.
const TEXT: Duration = Duration::from_secs(780);
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
        let mut server = match self.reach().await {
            Ok(server) => server,
            Err(late) => return late.before_text(),
        };
        let outcome = hand_over(&mut server, &self.from.email, to, &written).await;
        let _ = timeout(FAREWELL, server.quit()).await;
        outcome
    }

    /// The server, greeted, encrypted and logged in.
    async fn reach(&self) -> Result<AsyncSmtpConnection, Fault> {
        let hello = ClientId::default();
        let tls = (self.security == MailSecurity::Tls).then(|| self.tls.clone());
        let address = (self.host.as_str(), self.port);
        let connect =
            AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT), &hello, tls, None);
        let mut server = within(COMMAND, connect).await?;
        if self.security == MailSecurity::Starttls {
            // Fails where the server offers none.
            within(COMMAND, server.starttls(self.tls.clone(), &hello)).await?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            within(COMMAND, server.auth(DEFAULT_MECHANISMS, &credentials)).await?;
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

/// Why a step of the dialogue came to nothing.
enum Fault {
    /// What the server said, or what became of the connection.
    Said(Error),
    /// No answer in time.
    Silent,
}

/// One step of the dialogue, in its time.
async fn within<T>(
    patience: Duration,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Fault> {
    match timeout(patience, step).await {
        Ok(answer) => answer.map_err(Fault::Said),
        Err(_) => Err(Fault::Silent),
    }
}

impl Fault {
    fn reason(&self) -> String {
        match self {
            Self::Said(error) => short(&lumbung_model::with_causes(error)),
            Self::Silent => "the mail server does not answer".to_owned(),
        }
    }

    /// What it means before the text went over: nothing has arrived, and nothing was said of the recipient.
    fn before_text(&self) -> Outcome {
        Outcome::Later(self.reason(), None)
    }

    /// What it means once the server knows the recipient.
    fn refused(&self, phase: Phase) -> Outcome {
        let Self::Said(error) = self else { return self.before_text() };
        let Some(code) = error.status().filter(|_| error.is_permanent()) else {
            return self.before_text();
        };
        let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        if refusal::is_about_recipient(code.into(), &text, phase) {
            return Outcome::Never(self.reason());
        }
        Outcome::Refused(format!(
            "the mail server lets this controller send nothing there (its rules, the sender, the text): {}",
            self.reason()
        ))
    }
}

/// Names sender and recipient, and hands the text over.
async fn hand_over(
    server: &mut AsyncSmtpConnection,
    from: &Address,
    to: Address,
    text: &[u8],
) -> Outcome {
    // What is refused before the recipient is named is about us.
    let sender = MailFrom::new(Some(from.clone()), vec![]);
    if let Err(fault) = within(COMMAND, server.command(sender)).await {
        return fault.before_text();
    }
    if let Err(fault) = within(COMMAND, server.command(Rcpt::new(to, vec![]))).await {
        return fault.refused(Phase::Recipient);
    }
    if let Err(fault) = within(LEAVE, server.command(Data)).await {
        return fault.refused(Phase::Text);
    }
    match within(TEXT, server.message(text)).await {
        Ok(_) => Outcome::Sent,
        Err(fault) => match &fault {
            Fault::Said(error) if error.status().is_some() => fault.refused(Phase::Text),
            _ => Outcome::Unanswered(fault.reason()),
        },
    }
}

#[cfg(test)]
mod tests;
