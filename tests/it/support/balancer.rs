//! A plain TCP balancer: connections go in turn to the gateways whose `/readyz` is good.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// Between two looks at a gateway.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// A running balancer; it ends with the test's runtime.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    behind: Arc<Vec<Behind>>,
}

struct Behind {
    address: SocketAddr,
    is_ready: AtomicBool,
    connections: AtomicUsize,
}

impl Balancer {
    /// In front of gateways with these public and admin addresses.
    pub(crate) async fn start(gateways: &[(SocketAddr, SocketAddr)]) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = |(address, _): &(SocketAddr, SocketAddr)| Behind {
            address: *address,
            is_ready: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
        };
        let behind: Arc<Vec<Behind>> = Arc::new(gateways.iter().map(behind).collect());
        for (number, (_, admin_address)) in gateways.iter().enumerate() {
            let (behind, url) = (behind.clone(), format!("http://{admin_address}/readyz"));
            tokio::spawn(async move {
                let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build().unwrap();
                loop {
                    let is_ready = http.get(&url).send().await.is_ok_and(|answer| answer.status() == 200);
                    behind[number].is_ready.store(is_ready, Ordering::SeqCst);
                    tokio::time::sleep(LOOK).await;
                }
            });
        }
        let to = behind.clone();
        tokio::spawn(async move {
            for turn in 0.. {
                let Ok((mut client, _)) = listener.accept().await else { return };
                let to = to.clone();
                tokio::spawn(async move {
                    for try_on in 0..to.len() {
                        let gateway = &to[(turn + try_on) % to.len()];
                        if !gateway.is_ready.load(Ordering::SeqCst) {
                            continue;
                        }
                        let Ok(mut server) = TcpStream::connect(gateway.address).await else { continue };
                        gateway.connections.fetch_add(1, Ordering::SeqCst);
                        // Either may go at any time.
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        gateway.connections.fetch_sub(1, Ordering::SeqCst);
                        return;
                    }
                });
            }
        });
        Balancer { address, behind }
    }

    /// Whether connections go to the gateway.
    pub(crate) fn leads_to(&self, number: usize) -> bool {
        self.behind[number].is_ready.load(Ordering::SeqCst)
    }

    /// How many connections it has to the gateway.
    pub(crate) fn connections(&self, number: usize) -> usize {
        self.behind[number].connections.load(Ordering::SeqCst)
    }
}
