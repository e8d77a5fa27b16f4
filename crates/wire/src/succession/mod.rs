//! Who acts as the controller: statements drawn up, signed by officers, and verified as a chain.
//!
//! Invariants: a [`Chain`] is verified from its first statement on: each has the next epoch, names the hash of the one before and
//! is signed by two officers whom that one names (the first: by two whom it names itself). Texts are taken only as they
//! are written here, after a fixed text that no other signature of Lumbung begins with. Of two chains one is the beginning of the
//! other, or they contradict each other ([`Relation::Fork`]), and neither is taken for the other's sake.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use lumbung_model::{StatementHash, TlsPin};
use lumbung_pack::{SigningKey, verify_signature};
use sha2::{Digest, Sha256};

use crate::audit::signature_bytes;
use crate::messages::overview::ControllerState;
use crate::messages::succession::{
    Officer, OfficerSignature, Seat, SignedStatement, Statement, Succession,
};

/// Officers whose signatures a statement needs.
pub const QUORUM: usize = 2;
/// Officers that a statement names, at most.
pub const OFFICERS_MAX: usize = 16;
/// Standbys that a statement names, at most.
pub const STANDBYS_MAX: usize = 8;
/// Statements in a chain, at most.
pub const STATEMENTS_MAX: usize = 1000;
/// Longest text of a statement, bytes.
pub const STATEMENT_MAX_BYTES: usize = 32 << 10;
/// Longest JSON of a chain that is read, bytes.
pub const SUCCESSION_MAX_BYTES: usize = 4 << 20;
/// Longest name or reason, characters.
const TEXT_MAX_CHARS: usize = 500;
/// Longest address, bytes.
const URL_MAX_BYTES: usize = 500;

const STATEMENT: &[u8] = b"lumbung succession 1\0";

/// Why statements are not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// There is no statement, or far too many.
    #[error("a succession has 1 to {STATEMENTS_MAX} statements, this has {0}")]
    Length(usize),
    /// The text is no statement.
    #[error(
        "statement {0} is none that this version knows: update this program, or draw it up anew"
    )]
    Unreadable(usize),
    /// It says what makes no sense.
    #[error("statement {epoch} is refused: {reason}")]
    Value {
        /// Its epoch.
        epoch: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// It does not follow on the one before.
    #[error(
        "statement {0} does not follow on the one before: draw it up anew on the controller's newest"
    )]
    Order(u64),
    /// Too few officers signed.
    #[error(
        "statement {epoch} has {found} valid signatures of officers, and needs {QUORUM}: have another officer sign it (`lumbung succession sign`)"
    )]
    Quorum {
        /// Its epoch.
        epoch: u64,
        /// Officers who signed.
        found: usize,
    },
    /// Whoever signs is no officer.
    #[error("this key is none of the officers': {0}")]
    NoOfficer(String),
}

/// How a chain stands to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They are the same.
    Same,
    /// It goes on where the other ends.
    Newer,
    /// It ends where the other goes on.
    Older,
    /// They contradict each other.
    Fork,
}

/// Statements that hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    signed: Vec<SignedStatement>,
    statements: Vec<Statement>,
}

fn relation(one: &[SignedStatement], other: &[SignedStatement]) -> Relation {
    let same = one.iter().zip(other).all(|(one, two)| one.text == two.text);
    match (same, one.len().cmp(&other.len())) {
        (false, _) => Relation::Fork,
        (true, std::cmp::Ordering::Equal) => Relation::Same,
        (true, std::cmp::Ordering::Greater) => Relation::Newer,
        (true, std::cmp::Ordering::Less) => Relation::Older,
    }
}

fn message(text: &str) -> Vec<u8> {
    [STATEMENT, text.as_bytes()].concat()
}

/// The hash of a statement's text.
#[must_use]
pub fn hash(text: &str) -> StatementHash {
    StatementHash::from_bytes(Sha256::digest(message(text)).into())
}

/// A statement that nobody has signed yet.
///
/// # Errors
/// If it would be refused.
pub fn draft(statement: &Statement) -> Result<SignedStatement, SuccessionError> {
    check(statement)?;
    let text = serde_json::to_string(statement).map_err(|_| SuccessionError::Unreadable(0))?;
    Ok(SignedStatement { text, signatures: Vec::new() })
}

/// Adds a signature to the last statement; one by the same key takes the place of the former.
///
/// # Errors
/// If the statements before do not hold, the last one does not follow on them, or the key is none of its officers'.
pub fn sign(succession: &mut Succession, key: &SigningKey) -> Result<Statement, SuccessionError> {
    let (before, statement) = proposal(succession)?;
    let officers = signers(before.as_ref().map(Chain::newest), &statement);
    if !officers.iter().any(|officer| officer.key == key.public()) {
        return Err(SuccessionError::NoOfficer(key.public().to_string()));
    }
    if let Some(last) = succession.statements.last_mut() {
        let bytes = key.sign(&message(&last.text));
        let signature = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        last.signatures.retain(|known| known.key != key.public());
        last.signatures.push(OfficerSignature { key: key.public(), signature });
    }
    Ok(statement)
}

/// The chain before the last statement, and that statement, whoever has signed it so far.
///
/// # Errors
/// If the statements before do not hold, or the last one does not follow on them.
pub fn proposal(succession: &Succession) -> Result<(Option<Chain>, Statement), SuccessionError> {
    let Some((last, before)) = succession.statements.split_last() else {
        return Err(SuccessionError::Length(0));
    };
    let chain = match before {
        [] => None,
        before => Some(Chain::open(&Succession { statements: before.to_vec() })?),
    };
    let statement = read(last, before.len())?;
    follows(chain.as_ref(), &statement)?;
    Ok((chain, statement))
}

/// Those of the officers that count who have validly signed the last statement.
///
/// # Errors
/// As [`proposal`].
pub fn signed_by(succession: &Succession) -> Result<Vec<Officer>, SuccessionError> {
    let (before, statement) = proposal(succession)?;
    let officers = signers(before.as_ref().map(Chain::newest), &statement).to_vec();
    let last = succession.statements.last();
    Ok(last.map_or_else(Vec::new, |last| valid(last, &officers)))
}

/// The officers whose signatures a statement needs.
fn signers<'a>(before: Option<&'a Statement>, statement: &'a Statement) -> &'a [Officer] {
    &before.unwrap_or(statement).officers
}

fn valid(signed: &SignedStatement, officers: &[Officer]) -> Vec<Officer> {
    let message = message(&signed.text);
    let has_signed = |officer: &&Officer| {
        signed.signatures.iter().any(|one| {
            one.key == officer.key
                && signature_bytes(&one.signature)
                    .is_some_and(|bytes| verify_signature(&one.key, &message, &bytes).is_ok())
        })
    };
    officers.iter().filter(has_signed).cloned().collect()
}

fn read(signed: &SignedStatement, index: usize) -> Result<Statement, SuccessionError> {
    let unreadable = || SuccessionError::Unreadable(index + 1);
    if signed.text.len() > STATEMENT_MAX_BYTES || signed.signatures.len() > OFFICERS_MAX {
        return Err(unreadable());
    }
    let statement: Statement = serde_json::from_str(&signed.text).map_err(|_| unreadable())?;
    // Another spelling would be the same statement under another hash.
    if serde_json::to_string(&statement).ok().as_ref() != Some(&signed.text) {
        return Err(unreadable());
    }
    check(&statement)?;
    Ok(statement)
}

fn follows(before: Option<&Chain>, statement: &Statement) -> Result<(), SuccessionError> {
    let (epoch, previous, ca) = match before {
        None => (1, None, None),
        Some(chain) => {
            (chain.epoch() + 1, Some(chain.newest_hash()), Some(chain.newest().ca.as_str()))
        }
    };
    let same_ca = ca.is_none_or(|ca| ca == statement.ca);
    if statement.epoch == epoch && statement.previous == previous && same_ca {
        Ok(())
    } else {
        Err(SuccessionError::Order(statement.epoch))
    }
}

fn check(statement: &Statement) -> Result<(), SuccessionError> {
    let wrong = |reason: String| Err(SuccessionError::Value { epoch: statement.epoch, reason });
    let officers = &statement.officers;
    if !(QUORUM..=OFFICERS_MAX).contains(&officers.len()) {
        return wrong(format!("it names {QUORUM} to {OFFICERS_MAX} officers"));
    }
    let keys: HashSet<_> = officers.iter().map(|officer| officer.key).collect();
    let names: HashSet<_> = officers.iter().map(|officer| officer.name.trim()).collect();
    if keys.len() != officers.len() || names.len() != officers.len() {
        return wrong("an officer stands in it twice".to_owned());
    }
    if statement.standbys.len() > STANDBYS_MAX {
        return wrong(format!("it names at most {STANDBYS_MAX} standbys"));
    }
    let pins: HashSet<TlsPin> = seats(statement).map(|seat| seat.pin).collect();
    if pins.len() != statement.standbys.len() + 1 {
        return wrong("two controllers in it have the same key".to_owned());
    }
    if let Some(seat) = seats(statement).find(|seat| !is_address(&seat.url)) {
        return wrong(format!("{:?} is no address like https://host:port", seat.url));
    }
    let texts = officers.iter().map(|officer| &officer.name);
    let is_text = |text: &String| {
        let length = text.chars().count();
        !text.trim().is_empty() && length <= TEXT_MAX_CHARS && !text.chars().any(char::is_control)
    };
    if !texts.chain([&statement.reason, &statement.ca]).all(is_text) {
        return wrong(format!("names and reason are lines of 1 to {TEXT_MAX_CHARS} characters"));
    }
    Ok(())
}

fn seats(statement: &Statement) -> impl Iterator<Item = &Seat> {
    std::iter::once(&statement.controller).chain(&statement.standbys)
}

fn is_address(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !rest.is_empty() && url.len() <= URL_MAX_BYTES && rest.chars().all(plain)
}

impl Chain {
    /// The chain, if every statement in it holds.
    ///
    /// # Errors
    /// Why one does not.
    pub fn open(succession: &Succession) -> Result<Self, SuccessionError> {
        Self::go_on(None, succession)
    }

    /// The chain that goes on where this one ends, if every statement after it holds; those that are in this one are not
    /// verified again.
    ///
    /// # Errors
    /// Why one does not; [`SuccessionError::Order`] if it does not go on from this one.
    pub fn extend(&self, succession: &Succession) -> Result<Self, SuccessionError> {
        if self.met(succession) != Relation::Newer {
            return Err(SuccessionError::Order(self.epoch() + 1));
        }
        Self::go_on(Some(self.clone()), succession)
    }

    /// How statements that somebody shows stand to this chain, by their texts alone: none of them is verified, and to be
    /// [`Relation::Newer`] is a claim.
    #[must_use]
    pub fn met(&self, shown: &Succession) -> Relation {
        relation(&shown.statements, &self.signed)
    }

    fn go_on(known: Option<Self>, succession: &Succession) -> Result<Self, SuccessionError> {
        let all = &succession.statements;
        if all.is_empty() || all.len() > STATEMENTS_MAX {
            return Err(SuccessionError::Length(all.len()));
        }
        let mut chain = known;
        let from = chain.as_ref().map_or(0, |chain| chain.signed.len());
        for (index, signed) in all.iter().enumerate().skip(from) {
            let statement = read(signed, index)?;
            follows(chain.as_ref(), &statement)?;
            let before = chain.as_ref().map(Self::newest);
            let found = valid(signed, signers(before, &statement)).len();
            if found < QUORUM {
                return Err(SuccessionError::Quorum { epoch: statement.epoch, found });
            }
            let chain = chain.get_or_insert(Self { signed: Vec::new(), statements: Vec::new() });
            chain.signed.push(signed.clone());
            chain.statements.push(statement);
        }
        chain.ok_or(SuccessionError::Length(0))
    }

    /// As it travels.
    #[must_use]
    pub fn to_message(&self) -> Succession {
        Succession { statements: self.signed.clone() }
    }

    /// The statement that counts.
    #[must_use]
    pub fn newest(&self) -> &Statement {
        // A chain is never empty: `open` refuses none.
        &self.statements[self.statements.len() - 1]
    }

    /// Its hash.
    #[must_use]
    pub fn newest_hash(&self) -> StatementHash {
        hash(&self.signed[self.signed.len() - 1].text)
    }

    /// Its epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.newest().epoch
    }

    /// How this chain stands to `other`. Who signed is not compared: two of the officers did.
    #[must_use]
    pub fn relation(&self, other: &Self) -> Relation {
        relation(&self.signed, &other.signed)
    }

    /// The statements after those of an epoch, as they were signed.
    pub fn after(&self, epoch: u64) -> impl Iterator<Item = (u64, &SignedStatement)> {
        (1..).zip(&self.signed).filter(move |(of, _)| *of > epoch)
    }

    /// The statement of an epoch.
    #[must_use]
    pub fn at(&self, epoch: u64) -> Option<&Statement> {
        self.statements.iter().find(|statement| statement.epoch == epoch)
    }

    /// The officers who signed the newest statement, of those who count.
    #[must_use]
    pub fn signers(&self) -> Vec<Officer> {
        let before = self.epoch().checked_sub(1).and_then(|epoch| self.at(epoch));
        let last = self.signed.last();
        last.map_or_else(Vec::new, |last| valid(last, signers(before, self.newest())))
    }

    /// What the holder of this TLS key is.
    #[must_use]
    pub fn standing(&self, own: &TlsPin) -> ControllerState {
        let newest = self.newest();
        if newest.controller.pin == *own {
            ControllerState::Acting
        } else if newest.standbys.iter().any(|seat| seat.pin == *own) {
            ControllerState::Standby
        } else if self.statements.iter().any(|one| one.controller.pin == *own) {
            ControllerState::Superseded
        } else {
            ControllerState::Unnamed
        }
    }
}
