//! A world outside of the tests' own: a DNS server, a web server, and listeners that nobody may
//! reach. Names end in `.test`; the good server is at 127.0.0.2, where tests allow it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rowgate::config;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

/// Where the good server listens.
pub(crate) const GOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What a server does with a request, whose first lines and body it is given.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// These bytes, then the end.
    Says(Vec<u8>),
    /// The first, then the second again and again, as fast as it is taken.
    Endless(Vec<u8>, Vec<u8>),
    /// The first, then a byte of the second every few milliseconds.
    Drips(Vec<u8>, Vec<u8>),
    /// Nothing, and it stays.
    Hangs,
}

/// A request as a server read it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The line of header `name`, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().map(str::to_lowercase);
        lines.filter_map(|line| Some(line.strip_prefix(&format!("{name}:"))?.trim().to_owned())).next()
    }
}

pub(crate) type Behave = Arc<dyn Fn(&Seen) -> Behaviour + Send + Sync>;

/// The whole of it; it ends with the test's runtime.
pub(crate) struct Outside {
    pub(crate) nameserver: SocketAddr,
    names: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    questions: Arc<Mutex<Vec<String>>>,
    /// Of the good server and of those that nobody may reach.
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    reached: Arc<AtomicUsize>,
}

impl Outside {
    pub(crate) async fn new(behave: impl Fn(&Seen) -> Behaviour + Send + Sync + 'static) -> Outside {
        Outside::secured(behave, None).await
    }

    /// With TLS at the good server where there is an acceptor.
    pub(crate) async fn secured(
        behave: impl Fn(&Seen) -> Behaviour + Send + Sync + 'static,
        acceptor: Option<TlsAcceptor>,
    ) -> Outside {
        let reached = Arc::new(AtomicUsize::new(0));
        let (good, forbidden) = listeners().await;
        let port = good.local_addr().unwrap().port();
        for listener in forbidden {
            let reached = Arc::clone(&reached);
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    reached.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve(good, Arc::new(behave), Arc::clone(&seen), acceptor));
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let nameserver = socket.local_addr().unwrap();
        let (names, questions) = (Arc::default(), Arc::default());
        tokio::spawn(resolve(socket, Arc::clone(&names), Arc::clone(&questions)));
        let outside = Outside { nameserver, names, questions, port, seen, reached };
        outside.name("good.test", &[&[GOOD.into()]]);
        outside.name("other.test", &[&[GOOD.into()]]);
        outside
    }

    /// Gives `name` the addresses of each turn, the last turn's from then on.
    pub(crate) fn name(&self, name: &str, turns: &[&[IpAddr]]) {
        let turns = turns.iter().map(|turn| turn.to_vec()).collect();
        self.names.lock().unwrap().insert(name.to_owned(), turns);
    }

    /// Settings for this world: http, its nameserver, and the good server's address alone.
    pub(crate) fn settings(&self) -> config::Fetch {
        config::Fetch {
            allow_http: true,
            allow_networks: vec!["127.0.0.2/32".parse().unwrap()],
            nameservers: vec![self.nameserver],
            ..config::Fetch::default()
        }
    }

    /// What the good server was asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How often somebody connected to where nobody may.
    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    /// How often `name` was asked for, of each type.
    pub(crate) fn questions(&self, name: &str) -> usize {
        self.questions.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

/// One at the good address, others at the same port of the forbidden ones.
async fn listeners() -> (TcpListener, Vec<TcpListener>) {
    for _ in 0..100 {
        let good = TcpListener::bind((GOOD, 0)).await.unwrap();
        let port = good.local_addr().unwrap().port();
        let mut forbidden = Vec::new();
        for address in ["127.0.0.1", "127.0.0.3", "::1"] {
            if let Ok(listener) = TcpListener::bind((address.parse::<IpAddr>().unwrap(), port)).await {
                forbidden.push(listener);
            }
        }
        if forbidden.len() >= 2 {
            return (good, forbidden);
        }
    }
    panic!("no port is free at all addresses");
}

async fn serve(listener: TcpListener, behave: Behave, seen: Arc<Mutex<Vec<Seen>>>, acceptor: Option<TlsAcceptor>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (behave, seen, acceptor) = (Arc::clone(&behave), Arc::clone(&seen), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                None => answer(stream, &behave, &seen).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        answer(stream, &behave, &seen).await;
                    }
                }
            }
        });
    }
}

/// Reads one request and behaves; the connection ends with it.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, behave: &Behave, seen: &Mutex<Vec<Seen>>) {
    let mut bytes = Vec::new();
    let request = loop {
        let mut chunk = [0; 4096];
        let Ok(count) = stream.read(&mut chunk).await else { return };
        if count == 0 {
            return;
        }
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let request = Seen { head: head.to_owned(), body: body.to_owned() };
        let expected = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        if request.body.len() >= expected {
            break request;
        }
    };
    seen.lock().unwrap().push(request.clone());
    match behave(&request) {
        Behaviour::Says(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Behaviour::Endless(first, more) => {
            let _ = stream.write_all(&first).await;
            while stream.write_all(&more).await.is_ok() {}
        }
        Behaviour::Drips(first, more) => {
            let _ = stream.write_all(&first).await;
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            for byte in more.iter().cycle() {
                tick.tick().await;
                if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        }
        Behaviour::Hangs => {
            let mut nothing = [0; 1];
            let _ = stream.read(&mut nothing).await;
        }
    }
}

/// A small answer.
pub(crate) fn says(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Behaviour {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Behaviour::Says(bytes)
}

pub(crate) fn redirects(status: u16, location: &str) -> Behaviour {
    says(&format!("{status} Elsewhere"), &format!("location: {location}\r\n"), "")
}

/// Answers A and AAAA of the names it knows, with a lifetime of nothing.
async fn resolve(
    socket: UdpSocket,
    names: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    questions: Arc<Mutex<Vec<String>>>,
) {
    let mut turns: HashMap<(String, u16), usize> = HashMap::new();
    let mut packet = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        let Some((name, kind, question)) = question(&packet[..length]) else { continue };
        questions.lock().unwrap().push(name.clone());
        let known = names.lock().unwrap().get(&name).cloned();
        let mut records = Vec::new();
        if let Some(known) = &known {
            let turn = turns.entry((name, kind)).or_default();
            records = known[(*turn).min(known.len() - 1)].clone();
            *turn += 1;
        }
        let data: Vec<Vec<u8>> = records
            .iter()
            .filter_map(|address| match (address, kind) {
                (IpAddr::V4(address), 1) => Some(address.octets().to_vec()),
                (IpAddr::V6(address), 28) => Some(address.octets().to_vec()),
                _ => None,
            })
            .collect();
        let mut reply = packet[..2].to_vec();
        // A response that knows what it says, or that there is no such name.
        reply.extend([0x85, if known.is_some() { 0x80 } else { 0x83 }, 0, 1]);
        reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        reply.extend([0; 4]);
        reply.extend(question);
        for data in data {
            reply.extend([0xc0, 12]);
            reply.extend(kind.to_be_bytes());
            reply.extend([0, 1, 0, 0, 0, 0]);
            reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            reply.extend(data);
        }
        let _ = socket.send_to(&reply, from).await;
    }
}

/// The name asked for, the type, and the question as it came.
fn question(packet: &[u8]) -> Option<(String, u16, &[u8])> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
    Some((labels.join("."), kind, packet.get(12..at + 4)?))
}
