//! Accounts as people read them.

use lumbung_model::{PdId, Timestamp};
use lumbung_wire::messages::approvals::Approval;
use lumbung_wire::messages::people::User;
use lumbung_wire::messages::register::Pd;

use crate::table::Table;
use crate::terminal::{Terminal, printable};

/// The accounts, one a line. `now` decides whether a lock is over.
#[must_use]
pub(crate) fn table(users: &[User], pds: &[Pd], now: Timestamp, terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Nama", "Name"))
        .text(terminal.pick("Nama lengkap", "Full name"))
        .rigid(terminal.pick("Peran", "Role"))
        .text("PD")
        .rigid(terminal.pick("Keadaan", "State"));
    for user in users {
        table.row([
            user.name.clone(),
            printable(user.full_name.as_bytes()),
            user.role.as_str().to_owned(),
            user.pd.map(|pd| code_of(&pd, pds)).unwrap_or_default(),
            state(user, now, terminal),
        ]);
    }
    table.render()
}

fn code_of(id: &PdId, pds: &[Pd]) -> String {
    pds.iter().find(|pd| pd.id == *id).map_or_else(|| id.to_string(), |pd| pd.code.to_string())
}

fn state(user: &User, now: Timestamp, terminal: &Terminal) -> String {
    if let Some(since) = user.disabled {
        return format!("{} {}", terminal.pick("ditutup", "closed"), terminal.time(since));
    }
    if let Some(until) = user.locked_until.filter(|until| now < *until) {
        return format!("{} {}", terminal.pick("terkunci s.d.", "locked to"), terminal.time(until));
    }
    let word = match (user.password_is_new, user.totp) {
        (true, _) => terminal.pick("menunggu login pertama", "waits for its first login"),
        (false, true) => terminal.pick("faktor kedua", "second factor"),
        (false, false) => terminal.pick("kata sandi saja", "password only"),
    };
    word.to_owned()
}

/// A first password, the only time that it is shown.
#[must_use]
pub(crate) fn first_password(user: &User, first: &str, terminal: &Terminal) -> String {
    let (is, once) = terminal.pick(
        (
            "kata sandi pertama",
            "Ditampilkan satu kali, dan hanya dapat dipakai untuk menggantinya pada login berikut.",
        ),
        (
            "first password",
            "It is shown once, and opens nothing but the change of it at the next login.",
        ),
    );
    format!("{} ({}): {is} {first}\n{once}\n", user.name, user.role)
}

/// What was asked for, and what the second person types.
#[must_use]
pub(crate) fn asked(asked: &Approval, terminal: &Terminal) -> String {
    let waits = terminal.pick(
        "Belum berlaku: orang kedua menyetujuinya dengan",
        "Nothing has changed yet: a second person approves it with",
    );
    let console = terminal.pick("atau di konsol pengendali:", "or at the controller's console:");
    format!(
        "{}\n{waits}\n  lumbung approval approve {id} --as NAME\n{console}\n  lumbung-controller approval approve {id}\n",
        asked.words,
        id = asked.id
    )
}

#[cfg(test)]
mod tests {
    use lumbung_model::UserId;
    use lumbung_wire::messages::people::UserRole;

    use super::*;
    use crate::table::WIDTH;
    use crate::terminal::Lang;

    fn user() -> User {
        User {
            id: UserId::from_bytes([1; 16]),
            name: "a".repeat(32),
            full_name: "N".repeat(200),
            role: UserRole::Custodian,
            pd: Some(PdId::from_bytes([2; 16])),
            totp: true,
            password_is_new: false,
            locked_until: Some(Timestamp(2_000)),
            created: Timestamp(0),
            disabled: None,
        }
    }

    #[test]
    fn the_longest_account_fits_and_a_lock_that_is_over_is_not_shown() {
        let terminal = Terminal { json: false, quiet: false, lang: Lang::En, zone: None };
        let locked = table(&[user()], &[], Timestamp(1_999), &terminal);
        assert!(locked.contains("locked to"), "{locked}");
        assert!(locked.lines().all(|line| line.chars().count() <= WIDTH), "{locked}");
        let free = table(&[user()], &[], Timestamp(2_000), &terminal);
        assert!(free.contains("second factor") && !free.contains("locked"), "{free}");
        let closed = User { disabled: Some(Timestamp(5)), ..user() };
        assert!(table(&[closed], &[], Timestamp(9), &terminal).contains("closed"));
    }
}
