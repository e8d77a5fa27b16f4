//! Which controller this agent talks to: the one that two officers of the Dinas named last (ADR 31).
//!
//! Invariants: once a statement is known, only one that goes on from it and that two officers signed takes its place, through
//! restarts too, and nothing is told to a controller over another key than it names. Where none was ever known, the CA of the
//! enrolment decides, and the first statement is taken from the controller that it names. An enrolment at this host's own console
//! under another CA ends what is known: with a new CA a city begins anew.

use lumbung_model::TlsPin;
use lumbung_wire::ControllerClient;
use lumbung_wire::certs;
use lumbung_wire::client::ClientError;
use lumbung_wire::messages::succession::Succession;
use lumbung_wire::succession::{Chain, Relation, SuccessionError};

use crate::state::{StateDir, StateError};

/// Why a controller is not the one to talk to.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionRefused {
    /// It does not answer, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The agent's files.
    #[error(transparent)]
    State(#[from] StateError),
    /// What it shows does not hold.
    #[error("{url} shows statements that do not hold")]
    Invalid {
        /// The controller.
        url: String,
        /// Why.
        #[source]
        source: SuccessionError,
    },
    /// It was superseded.
    #[error(
        "{url} is refused: it knows epoch {epoch} only, and epoch {known} was seen here; another controller acts by now"
    )]
    Superseded {
        /// The controller.
        url: String,
        /// What it knows.
        epoch: u64,
        /// What is known here.
        known: u64,
    },
    /// It knows as much, and is another one.
    #[error("{0} does not act: it is a standby that nobody has promoted yet, or was superseded")]
    Waits(String),
    /// Its statements contradict what is known.
    #[error("{0} shows statements that contradict those known here: tell the Dinas")]
    Fork(String),
    /// Somebody else than the controller that acts shows the first statements.
    #[error(
        "{0} shows statements of another controller: name that one in this agent's file (`controller`), if the Dinas says so"
    )]
    Stranger(String),
}

/// The statements that this agent knows.
#[derive(Debug)]
pub struct Known {
    state: StateDir,
    chain: Option<Chain>,
}

impl Known {
    /// Those that are kept.
    ///
    /// # Errors
    /// If they cannot be read, or do not hold.
    pub fn open(state: &StateDir) -> Result<Self, StateError> {
        let kept = state.succession()?;
        let chain = kept.as_ref().map(Chain::open).transpose();
        let chain = chain.map_err(|error| StateError::Damaged {
            path: state.succession_file(),
            reason: error.to_string(),
        })?;
        Ok(Self { state: state.clone(), chain })
    }

    /// Puts aside what is known, where it is of another CA than the one that this agent has just enrolled with.
    ///
    /// # Errors
    /// If it cannot be put aside.
    pub fn begin_anew(&mut self, ca_fingerprint: &str) -> Result<(), StateError> {
        if self.chain.as_ref().is_some_and(|chain| chain.newest().ca != ca_fingerprint) {
            self.state.put_succession_aside()?;
            self.chain = None;
        }
        Ok(())
    }

    /// Whether an enrolment has put aside what is known here.
    #[must_use]
    pub fn is_put_aside(&self) -> bool {
        // A directory that cannot be read says nothing.
        self.chain.is_some() && matches!(self.state.succession_file().try_exists(), Ok(false))
    }

    /// The epoch; none before the first statement.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.chain.as_ref().map(Chain::epoch)
    }

    /// The key of the controller that acts.
    #[must_use]
    pub fn pin(&self) -> Option<TlsPin> {
        self.chain.as_ref().map(|chain| chain.newest().controller.pin)
    }

    /// Where the controller that acts answers.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.chain.as_ref().map(|chain| chain.newest().controller.url.as_str())
    }

    /// Where a controller may be found: the one that answered last, the one that acts, the one of this agent's file or
    /// enrolment, those that may take its place.
    #[must_use]
    pub fn places(&self, last: Option<&str>, own: &str) -> Vec<String> {
        let newest = self.chain.as_ref().map(Chain::newest);
        let acts = newest.map(|newest| newest.controller.url.as_str());
        let standbys =
            newest.into_iter().flat_map(|newest| &newest.standbys).map(|seat| seat.url.as_str());
        let mut places: Vec<String> = Vec::new();
        for url in last.into_iter().chain(acts).chain([own]).chain(standbys) {
            let url = url.trim_end_matches('/');
            if !places.iter().any(|known| known == url) {
                places.push(url.to_owned());
            }
        }
        places
    }

    /// Asks a controller, which the CA vouches for, who acts. A newer statement is kept, and one that knows less is told.
    ///
    /// # Errors
    /// If nothing newer comes of it, unless no officers were named there and here.
    pub async fn consult(
        &mut self,
        client: &ControllerClient,
        ca_pems: &[String],
    ) -> Result<bool, SuccessionRefused> {
        let url = || client.server().to_owned();
        let told = client.succession().await?;
        if told.statements.is_empty() {
            let superseded = |known| SuccessionRefused::Superseded { url: url(), epoch: 0, known };
            return self.epoch().map_or(Ok(false), |known| Err(superseded(known)));
        }
        let invalid = |source| SuccessionRefused::Invalid { url: url(), source };
        let shown = Chain::open(&told).map_err(invalid)?;
        let Some(known) = &self.chain else {
            let newest = shown.newest();
            let of_our_ca = |pem: &String| certs::fingerprint(pem).is_ok_and(|ca| ca == newest.ca);
            if client.seen_pin() != Some(newest.controller.pin) || !ca_pems.iter().any(of_our_ca) {
                return Err(SuccessionRefused::Stranger(url()));
            }
            return self.keep(shown, &told);
        };
        match shown.relation(known) {
            Relation::Newer => self.keep(shown, &told),
            Relation::Same => Err(SuccessionRefused::Waits(url())),
            Relation::Fork => Err(SuccessionRefused::Fork(url())),
            Relation::Older => {
                let (epoch, newest) = (shown.epoch(), known.epoch());
                // It stops by itself when it hears that; whether it does is not ours to wait for.
                let _ = client.tell_succession(&known.to_message()).await;
                Err(SuccessionRefused::Superseded { url: url(), epoch, known: newest })
            }
        }
    }

    fn keep(&mut self, newer: Chain, told: &Succession) -> Result<bool, SuccessionRefused> {
        self.state.write_succession(told)?;
        tracing::info!(
            "epoch {}: {} acts as the controller",
            newer.epoch(),
            newer.newest().controller.url
        );
        self.chain = Some(newer);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::Timestamp;
    use lumbung_pack::SigningKey;
    use lumbung_wire::messages::succession::{Officer, Seat, Statement};
    use lumbung_wire::succession::{draft, sign};

    fn founded() -> Succession {
        let keys = [SigningKey::generate(), SigningKey::generate()];
        let seat = |number: u8| Seat {
            url: format!("https://c{number}:7443"),
            pin: TlsPin::from_bytes([number; 32]),
        };
        let officer =
            |(name, key): (&str, &SigningKey)| Officer { name: name.into(), key: key.public() };
        let statement = Statement {
            epoch: 1,
            previous: None,
            ca: "sha256:a".into(),
            controller: seat(1),
            standbys: vec![seat(2)],
            officers: ["A", "B"].into_iter().zip(&keys).map(officer).collect(),
            made: Timestamp(1),
            reason: "x".into(),
        };
        let mut all = Succession { statements: vec![draft(&statement).unwrap()] };
        keys.iter().for_each(|key| drop(sign(&mut all, key).unwrap()));
        all
    }

    #[test]
    fn what_is_known_is_kept_and_a_damaged_file_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(dir.path()).unwrap();
        let mut known = Known::open(&state).unwrap();
        assert_eq!(
            (known.epoch(), known.places(None, "https://own/")),
            (None, vec!["https://own".into()])
        );
        let all = founded();
        known.keep(Chain::open(&all).unwrap(), &all).unwrap();
        let again = Known::open(&state).unwrap();
        assert_eq!((again.epoch(), again.pin()), (Some(1), Some(TlsPin::from_bytes([1; 32]))));
        let places = again.places(Some("https://c2:7443"), "https://own");
        assert_eq!(places, ["https://c2:7443", "https://c1:7443", "https://own"]);
        // Under the CA that it names it stays, under another one the city begins anew.
        let mut running = Known::open(&state).unwrap();
        Known::open(&state).unwrap().begin_anew("sha256:a").unwrap();
        assert!(!running.is_put_aside() && state.succession().unwrap().is_some());
        Known::open(&state).unwrap().begin_anew("sha256:b").unwrap();
        assert!(running.is_put_aside(), "a daemon that runs finds out");
        assert_eq!(Known::open(&state).unwrap().epoch(), None);
        assert!(dir.path().join("succession.json.old").exists());
        running.keep(Chain::open(&all).unwrap(), &all).unwrap();
        let mut alone = all.clone();
        alone.statements[0].signatures.pop();
        state.write_succession(&alone).unwrap();
        assert!(matches!(Known::open(&state), Err(StateError::Damaged { .. })));
    }
}
