//! Servers on loopback that answer what a test says.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

/// What a server says after the head of a request, and what it repeats until the other side has had enough.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) once: Vec<u8>,
    pub(crate) forever: Vec<u8>,
}

pub(crate) fn answer(text: impl Into<String>) -> Answer {
    Answer { once: text.into().into_bytes(), forever: Vec::new() }
}

/// Serves; tells the heads of requests.
pub(crate) async fn serve(
    answer: Answer,
    tls: Option<TlsAcceptor>,
) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, tls, heads) = (answer.clone(), tls.clone(), heads.clone());
            tokio::spawn(async move {
                match tls {
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            converse(stream, answer, heads).await;
                        }
                    }
                    None => converse(stream, answer, heads).await,
                }
            });
        }
    });
    (address, seen)
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answer,
    heads: tokio::sync::mpsc::UnboundedSender<String>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let _ = heads.send(String::from_utf8(head).unwrap());
    let mut fine = stream.write_all(&answer.once).await.is_ok();
    while fine && !answer.forever.is_empty() {
        fine = stream.write_all(&answer.forever).await.is_ok();
    }
    let _ = stream.shutdown().await;
}

/// A CA, and certificates of it.
pub(crate) struct City {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pub(crate) authority: CertificateDer<'static>,
}

impl City {
    pub(crate) fn new(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: rcgen::Issuer::new(params, key), authority }
    }

    /// TLS for a host, until the beginning of a year.
    pub(crate) fn tls(&self, host: &str, until_year: i32) -> TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until_year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
