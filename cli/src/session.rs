//! A person at the controller: logged in for the time of one command.
//!
//! Invariants: password and code come from a file, the environment or the terminal, never from an argument, and are kept
//! nowhere; an account that is new changes its password and sets up its second factor on the way.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use lumbung_wire::messages::people::{
    Caller, LoginRequest, PasswordChange, SessionState, TotpConfirm, TotpSecret, User,
};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use zeroize::Zeroizing;

use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Code, Failure, Outcome};
use crate::files::read_text;
use crate::passphrase::{self, Which};
use crate::terminal::Terminal;

/// Who logs in, and with what.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SessionArgs {
    /// File whose content is the password (else LUMBUNG_PASSWORD, LUMBUNG_PASSWORD_FILE, or the terminal)
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File whose content is the new password, where the present one was given by somebody else (else
    /// LUMBUNG_NEW_PASSWORD, LUMBUNG_NEW_PASSWORD_FILE, or the terminal)
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// File whose content is the code of the second factor (else it is asked for)
    #[arg(long, value_name = "FILE")]
    code_file: Option<PathBuf>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Logs somebody in for one change, and out again whatever came of it.
///
/// # Errors
/// As [`open`], and what the change returns.
pub(crate) fn during<T>(
    args: &SessionArgs,
    name: &str,
    terminal: &Terminal,
    change: impl FnOnce(&Controller) -> Outcome<T>,
) -> Outcome<T> {
    let session = open(args, name, terminal)?;
    let done = change(&session);
    // It was done, or not; a session that stays ends by itself.
    let _ = session.post::<_, serde_json::Value>("/api/v1/logout", &());
    done
}

/// Logs somebody in, as far as to a session that is good for everything.
///
/// # Errors
/// If the controller refuses, or something is needed that nobody can be asked for.
pub(crate) fn open(args: &SessionArgs, name: &str, terminal: &Terminal) -> Outcome<Controller> {
    let controller = args.controller.connect_to_log_in()?;
    let mut password = text(passphrase::of_account(args.password_file.as_deref(), name)?)?;
    let request =
        |code| LoginRequest { name: name.to_owned(), password: password.to_string(), code };
    let (mut caller, session) = match controller.log_in(&request(None))? {
        Some(session) => session,
        None => {
            let code = code(args)?;
            controller.log_in(&request(Some(code)))?.ok_or_else(|| {
                let next = "wait for the next code and try again";
                Failure::new(Code::NotEntitled, "the controller asks for another code", next)
            })?
        }
    };
    if caller.state == SessionState::ChangePassword {
        password = change_password(args, &session, &password, terminal)?;
        caller = session.get::<Caller>("/api/v1/me")?;
    }
    if caller.state == SessionState::SetUpTotp {
        set_up_totp(args, &session, &password, terminal)?;
    }
    Ok(session)
}

fn change_password(
    args: &SessionArgs,
    session: &Controller,
    present: &str,
    terminal: &Terminal,
) -> Outcome<Zeroizing<String>> {
    terminal.note(terminal.pick(
        "Kata sandi ini diberikan oleh orang lain: pilih yang baru, 12 karakter atau lebih.",
        "This password was given by somebody else: choose a new one of 12 characters or more.",
    ));
    let new = text(passphrase::chosen(args.new_password_file.as_deref(), Which::NewAccount)?)?;
    let change = PasswordChange { current: present.to_owned(), new: new.to_string() };
    session.post::<_, User>("/api/v1/me/password", &change)?;
    Ok(new)
}

fn set_up_totp(
    args: &SessionArgs,
    session: &Controller,
    password: &str,
    terminal: &Terminal,
) -> Outcome<()> {
    let secret: TotpSecret = session.post("/api/v1/me/totp", &())?;
    let drawn = QrCode::new(&secret.url).map(|code| code.render::<Dense1x2>().build());
    terminal.note(terminal.pick(
        "Peran ini memerlukan faktor kedua. Pindai kode ini dengan aplikasi kode, atau ketik rahasianya:",
        "This role needs a second factor. Read this with an app for codes, or type the secret in:",
    ));
    terminal.note(&format!("{}\n{}", drawn.unwrap_or_default(), secret.secret));
    let confirm = TotpConfirm {
        secret: secret.secret,
        code: code(args)?,
        password: password.to_owned(),
        present_code: None,
    };
    session.post::<_, User>("/api/v1/me/totp/confirm", &confirm)?;
    Ok(())
}

/// The code of the second factor.
fn code(args: &SessionArgs) -> Outcome<String> {
    if let Some(path) = &args.code_file {
        return Ok(read_text(path, "the code")?.trim().to_owned());
    }
    if !io::stdin().is_terminal() {
        let next = "run it at a terminal, or give --code-file";
        return Err(Failure::new(
            Code::NoPassphrase,
            "a code is needed and this is no terminal",
            next,
        ));
    }
    let failed = |error: io::Error| {
        Failure::new(Code::NoPassphrase, "the code could not be read", "try again").because(error)
    };
    eprint!("Code: ");
    io::stderr().flush().map_err(failed)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(failed)?;
    Ok(line.trim().to_owned())
}

fn text(bytes: Zeroizing<Vec<u8>>) -> Outcome<Zeroizing<String>> {
    String::from_utf8(bytes.to_vec()).map(Zeroizing::new).map_err(|_| {
        let next = "use a password that is text";
        Failure::new(Code::NoPassphrase, "the password is not UTF-8", next)
    })
}
