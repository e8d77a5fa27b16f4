//! One HTTP/1 connection over TLS that stays open, as a client of the controller holds it.
//!
//! Invariant: a [`Link`] that is dropped closes its connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use lumbung_wire::tls::{ServerTrust, TlsIdentity, client_config};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// As long as an agent waits until its connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// As long as an agent waits for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// The controller, as somebody with a certificate reaches it.
#[derive(Clone)]
pub(crate) struct Line {
    tls: Arc<ClientConfig>,
    controller: SocketAddr,
    /// Its own address: the controller bounds connections by address.
    from: Ipv4Addr,
}

impl Line {
    /// `identity` is left out by who enrols.
    pub(crate) fn new(
        identity: Option<&TlsIdentity>,
        ca_pem: &str,
        controller: SocketAddr,
        from: Ipv4Addr,
    ) -> Result<Self> {
        let name = controller.ip().to_string();
        let trust = ServerTrust::Ca { ca_pems: vec![ca_pem.to_owned()], name };
        let tls = client_config(identity, trust, Arc::new(lumbung_model::SystemClock))?;
        Ok(Self { tls: Arc::new(tls.rustls_config()), controller, from })
    }

    /// Connects, with a handshake of its own.
    pub(crate) async fn open(&self) -> Result<Link> {
        tokio::time::timeout(CONNECT, self.connect())
            .await
            .context("the connection took too long")?
    }

    async fn connect(&self) -> Result<Link> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let stream = socket.connect(self.controller).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.controller.ip().into());
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // How it ends shows in the requests.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Link { sender, task })
    }
}

/// An open connection.
pub(crate) struct Link {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Link {
    /// Sends JSON, and reads the answer to its end.
    pub(crate) async fn post(&mut self, path: &str, body: Vec<u8>) -> Result<Bytes> {
        self.ask(Method::POST, path, body, ANSWER).await
    }

    /// Reads a page to its end.
    pub(crate) async fn get(&mut self, path: &str, patience: Duration) -> Result<Bytes> {
        self.ask(Method::GET, path, Vec::new(), patience).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "controller")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))?;
        let asked = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            Ok::<_, hyper::Error>((status, answer.into_body().collect().await?.to_bytes()))
        };
        let (status, body) =
            tokio::time::timeout(patience, asked).await.context("no answer in time")??;
        if !matches!(status, StatusCode::OK | StatusCode::CREATED) {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}
