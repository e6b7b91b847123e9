//! Buckets that all gateways share, in Redis: the same layers and policies, counted by one script.
//!
//! The script looks at every layer of a call before it spends any, by Redis's own clock, in one round
//! trip; calls of a worker are pipelined on one connection. A bucket is one number, the microsecond at
//! which it is full again, and goes by itself then. Where Redis is away, or slower than calls may wait,
//! each gateway counts on its own and enforces its share of each quota, until a beat is answered again.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus::{IntCounter, IntGauge};
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError, Script};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::Limits;
use crate::config::limits::NODES_MAX;
use crate::limit::decision::{Decision, Standing};
use crate::limit::policy::{Policy, Quotas};
use crate::limit::{Keys, Layer, Limiter};

/// Between two beats of a link; three that are missed are a gateway that has gone.
const BEAT: Duration = Duration::from_secs(2);
/// Between two attempts to reach a Redis that is away.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// How long opening a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
const NANOS: u64 = 1_000;

/// Per key: what a call costs and how far ahead of now a bucket may be, in microseconds, and whether the
/// layer is enforced. Answers per key how far ahead it is then, and whether it had no room.
const SPEND: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fulls = redis.call('MGET', unpack(KEYS))
local ahead, full, refused, exceeded = {}, {}, false, false
for i = 1, #KEYS do
  ahead[i] = math.max((tonumber(fulls[i] or '0')) - now, 0)
  full[i] = ahead[i] > tonumber(ARGV[3 * i - 1])
  if full[i] then
    exceeded = true
    refused = refused or ARGV[3 * i] == '1'
  end
end
local answer = {}
for i = 1, #KEYS do
  local held = exceeded
  if ARGV[3 * i] == '1' then held = refused end
  if not held then
    ahead[i] = ahead[i] + tonumber(ARGV[3 * i - 2])
    redis.call('SET', KEYS[i], string.format('%.0f', now + ahead[i]), 'PX', math.ceil(ahead[i] / 1000))
  end
  answer[2 * i - 1] = ahead[i]
  answer[2 * i] = full[i] and 1 or 0
end
return answer
";

/// Says that a gateway is there; answers how many are.
const HEARD: &str = "
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 6)
redis.call('EXPIRE', KEYS[1], 60)
return redis.call('ZCARD', KEYS[1])
";

/// What the links of a gateway have in common.
pub struct Commons {
    client: Client,
    gateway_id: String,
    wait_max: Duration,
    /// Gateways that share the buckets, as last heard.
    nodes: AtomicU32,
    nodes_min: u32,
    spend: Script,
    heard: Script,
    metrics: Metrics,
}

/// What is counted of shared buckets.
pub struct Metrics {
    /// Links that are open.
    pub open: IntGauge,
    /// Calls that this gateway counted alone.
    pub alone: IntCounter,
}

/// One worker's connection to Redis, kept by a task of its runtime.
pub struct Link {
    commons: Arc<Commons>,
    state: Arc<State>,
    keeper: AbortHandle,
}

#[derive(Default)]
struct State {
    connection: ArcSwapOption<MultiplexedConnection>,
    lost: Notify,
}

/// Whether the Redis of shared limits answers; `None` where each gateway counts for itself.
pub async fn reach(limits: &Limits, within: Duration) -> Option<Result<(), String>> {
    let url = limits.redis_url.as_ref()?;
    let asked = async {
        let mut connection = Client::open(url.reveal())?.get_multiplexed_async_connection().await?;
        Script::new(SPEND).prepare_invoke().load_async(&mut connection).await
    };
    Some(match timeout(within, asked).await {
        Ok(answered) => answered.map(|_| ()).map_err(|error: RedisError| error.to_string()),
        Err(_) => Err(format!("it did not answer within {} ms", within.as_millis())),
    })
}

impl Commons {
    /// `None` where each gateway counts for itself. The error says what is wrong with the setting, and not
    /// what it is.
    pub fn new(limits: &Limits, metrics: Metrics) -> Result<Option<Commons>, String> {
        let Some(url) = &limits.redis_url else { return Ok(None) };
        let client = Client::open(url.reveal()).map_err(|_| {
            "limits.redis_url: expected `redis://[user:password@]host[:port][/database]` or `unix:///path`".to_owned()
        })?;
        Ok(Some(Commons {
            client,
            gateway_id: Uuid::new_v4().to_string(),
            wait_max: Duration::from_millis(limits.redis_timeout_ms),
            nodes: AtomicU32::new(limits.nodes),
            nodes_min: limits.nodes,
            spend: Script::new(SPEND),
            heard: Script::new(HEARD),
            metrics,
        }))
    }

    /// How many gateways share the buckets, as far as is known.
    pub fn nodes(&self) -> u32 {
        self.nodes.load(Ordering::Relaxed)
    }

    async fn open(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.client.get_multiplexed_async_connection().await?;
        self.spend.prepare_invoke().load_async(&mut connection).await?;
        Ok(connection)
    }

    /// Whether Redis answers as fast as calls need it.
    async fn beat(&self, connection: &MultiplexedConnection) -> bool {
        let mut connection = connection.clone();
        let mut invocation = self.heard.key("rowgate:gateways");
        let asked = invocation.arg(&self.gateway_id).invoke_async::<u32>(&mut connection);
        match timeout(self.wait_max, asked).await {
            Ok(Ok(heard)) => {
                self.nodes.store(heard.clamp(self.nodes_min, NODES_MAX), Ordering::Relaxed);
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

impl Link {
    /// Opens a link on the current runtime and keeps it open.
    pub fn open(commons: &Arc<Commons>) -> Link {
        let state = Arc::new(State::default());
        let keeper = tokio::spawn(keep(commons.clone(), state.clone())).abort_handle();
        Link { commons: commons.clone(), state, keeper }
    }

    pub fn is_open(&self) -> bool {
        self.state.connection.load().is_some()
    }

    /// [`Limiter::check`] by the shared buckets, or by `limiter` and this gateway's share where they cannot be
    /// reached in time.
    pub async fn check(&self, limiter: &Limiter, quotas: &Quotas, keys: &Keys) -> Decision {
        let row = quotas.of(keys.kind);
        if row.layers.iter().all(Option::is_none) {
            return Decision::uncounted(quotas.class);
        }
        if let Some(connection) = self.state.connection.load_full() {
            let asked = self.ask(MultiplexedConnection::clone(&connection), quotas, keys);
            if let Ok(Ok(standings)) = timeout(self.commons.wait_max, asked).await {
                return Decision::new(quotas.class, standings, row.header.clone());
            }
            self.lose(&connection);
        }
        self.commons.metrics.alone.inc();
        limiter.check_share(quotas, keys, self.commons.nodes())
    }

    async fn ask(
        &self,
        mut connection: MultiplexedConnection,
        quotas: &Quotas,
        keys: &Keys,
    ) -> Result<[Option<Standing>; 4], RedisError> {
        let layers = quotas.of(keys.kind).layers.map(|policy| policy.map(Policy::in_micros));
        let mut invocation = self.commons.spend.prepare_invoke();
        for (layer, policy) in Layer::ALL.into_iter().zip(&layers) {
            let Some(policy) = policy else { continue };
            let interval_us = policy.interval_ns / NANOS;
            // A bucket that is ahead at all has no room where none is granted.
            let tolerance_us =
                policy.quota.map_or(-1, |_| i64::try_from(policy.tolerance_ns() / NANOS).unwrap_or(i64::MAX));
            invocation.key(key(layer, quotas, keys));
            invocation.arg(interval_us).arg(tolerance_us).arg(u8::from(policy.is_enforced()));
        }
        let answer: Vec<i64> = invocation.invoke_async(&mut connection).await?;
        let mut answers = answer.chunks_exact(2);
        let mut standings = [None; 4];
        for ((standing, layer), policy) in standings.iter_mut().zip(Layer::ALL).zip(&layers) {
            let (Some(policy), Some([ahead_us, refuses])) = (policy, policy.and_then(|_| answers.next())) else {
                continue;
            };
            let ahead_ns = u64::try_from(*ahead_us).unwrap_or(0).saturating_mul(NANOS);
            *standing = Some(Standing { refuses: *refuses == 1, ..Standing::at(layer, policy, ahead_ns) });
        }
        Ok(standings)
    }

    /// Calls go on without this connection at once; its keeper looks after another.
    fn lose(&self, connection: &Arc<MultiplexedConnection>) {
        let before = self.state.connection.compare_and_swap(connection, None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, connection)) {
            self.commons.metrics.open.dec();
            self.state.lost.notify_one();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
        if self.state.connection.swap(None).is_some() {
            self.commons.metrics.open.dec();
        }
    }
}

async fn keep(commons: Arc<Commons>, state: Arc<State>) {
    let mut was_told = false;
    loop {
        if let Ok(Ok(connection)) = timeout(CONNECT_WAIT, commons.open()).await
            && commons.beat(&connection).await
        {
            state.connection.store(Some(Arc::new(connection.clone())));
            commons.metrics.open.inc();
            tracing::info!("rate limits are counted in Redis");
            beat(&commons, &state, &connection).await;
            if state.connection.swap(None).is_some() {
                commons.metrics.open.dec();
            }
            was_told = false;
        }
        if !was_told {
            tracing::warn!(
                nodes = commons.nodes(),
                "Redis is away or slow; this gateway enforces its share of the rate limits"
            );
            was_told = true;
        }
        tokio::time::sleep(RETRY_WAIT).await;
    }
}

/// Until the connection is lost.
async fn beat(commons: &Commons, state: &State, connection: &MultiplexedConnection) {
    loop {
        tokio::select! {
            () = state.lost.notified() => return,
            () = tokio::time::sleep(BEAT) => {}
        }
        if !commons.beat(connection).await {
            return;
        }
    }
}

fn key(layer: Layer, quotas: &Quotas, keys: &Keys) -> String {
    let class = quotas.class.as_str();
    let mut key = String::with_capacity(96);
    // Writing to a String does not fail.
    let _ = match layer {
        Layer::Caller => write!(key, "rowgate:c:{class}:{}:{:x}", keys.install, keys.caller),
        Layer::Function => write!(key, "rowgate:f:{class}:{}:{:x}", keys.install, quotas.function),
        Layer::Install => write!(key, "rowgate:i:{class}:{}", keys.install),
        Layer::Extension => write!(key, "rowgate:e:{class}:{}", keys.extension),
    };
    key
}
