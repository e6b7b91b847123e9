//! Buckets that gateways share in Redis: counted once over all, and what happens when Redis is away.

use std::time::{Duration, Instant};

use rowgate::auth::token::Claims;
use rowgate::config::{Config, Hidden, LimitMode, Quota};
use rowgate::server::Server;
use rowgate_schema_dsl::definition::Role;
use serde_json::Value;

use crate::hostile::notes;
use crate::limits::violated;
use crate::support::gateway::{Answer, TestGateway, answer, config};
use crate::support::redis::TestRedis;

/// Two gateways on one database and one Redis.
struct Pair {
    redis: TestRedis,
    gateway: TestGateway,
    beside: Server,
}

/// Nothing comes back while a test runs.
const A_MINUTE: u32 = 1;

impl Pair {
    async fn new(settings: impl Fn(&mut Config)) -> Pair {
        let redis = TestRedis::start();
        let url = redis.url();
        let settings = |config: &mut Config| {
            config.limits.mode = LimitMode::Enforce;
            config.limits.caller.query_rows = Quota { per_minute: A_MINUTE, burst: Some(50) };
            config.limits.install.query_rows = Quota { per_minute: 10_000, burst: None };
            config.limits.redis_url = Some(Hidden::new(url.clone()));
            // A busy machine is no slow Redis.
            config.limits.redis_timeout_ms = 5_000;
            settings(config);
        };
        let gateway = TestGateway::with(&notes(), &settings).await;
        let mut other = config(&gateway.database);
        settings(&mut other);
        let beside = Server::start(other).await.unwrap();
        let pair = Pair { redis, gateway, beside };
        pair.until(|ready| ready["limits"]["shared"] == true && ready["limits"]["nodes"] == 2).await;
        pair
    }

    fn both(&self) -> [&Server; 2] {
        [&self.gateway.server, &self.beside]
    }

    async fn call(&self, server: &Server, user: &str) -> Answer {
        let token = self.gateway.token_of(&Claims::new(self.gateway.install.id, Role::Owner, Some(user.to_owned())));
        let install = self.gateway.install.id;
        let url = format!("http://{}/v1/extension-functions/{install}/countNotes", server.address);
        answer(self.gateway.http.post(url).bearer_auth(token)).await
    }

    /// How many of `calls` calls on each gateway were served; the others were refused, and none failed.
    async fn served(&self, user: &str, calls: usize) -> usize {
        let mut served = 0;
        for _ in 0..calls {
            for server in self.both() {
                let answer = self.call(server, user).await;
                assert!(matches!(answer.status, 200 | 429), "{answer:?}");
                served += usize::from(answer.status == 200);
            }
        }
        served
    }

    /// Waits until both gateways say so of themselves.
    async fn until(&self, holds: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        for server in self.both() {
            loop {
                let url = format!("http://{}/readyz", server.admin_address);
                let ready = answer(self.gateway.http.get(url)).await.ok();
                if holds(&ready) {
                    break;
                }
                assert!(began.elapsed() < Duration::from_secs(30), "{ready}");
            }
        }
    }

    async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.gateway.server.admin_address);
        let text = answer(self.gateway.http.get(url)).await.text;
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_a_minute_is_fifty_over_two_gateways() {
    let pair = Pair::new(|_| {}).await;
    assert_eq!(pair.served("one", 40).await, 50);
    let refused = pair.call(&pair.beside, "one").await;
    assert_eq!(violated(&refused), serde_json::json!(["caller"]));
    assert!(refused.headers["ratelimit"].starts_with("\"caller\";r=0;t="), "{refused:?}");
    let first = pair.call(&pair.beside, "two").await;
    assert!(first.headers["ratelimit"].starts_with("\"caller\";r=49;t="), "{first:?}");
    // At once, the last unit goes to one alone.
    let calls = (0..60).map(|call| pair.call(pair.both()[call % 2], "three"));
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 50);
    assert_eq!(pair.metric("rowgate_limits_counted_alone_total").await, 0.0);
    assert_eq!(pair.metric("rowgate_limit_links_open").await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_gateway_enforces_its_share_and_no_call_fails() {
    let mut pair = Pair::new(|_| {}).await;
    assert_eq!(pair.served("one", 5).await, 10);
    pair.redis.kill();
    // Under calls, before any gateway has noticed; one of two grants 25 of 50.
    assert_eq!(pair.served("two", 40).await, 50);
    pair.until(|ready| ready["ready"] == true && ready["limits"]["shared"] == false).await;
    assert_eq!(pair.served("three", 40).await, 50);
    assert!(pair.metric("rowgate_limits_counted_alone_total").await >= 40.0);
    // A worker that was not called finds out by its next beat.
    let began = Instant::now();
    while pair.metric("rowgate_limit_links_open").await > 0.0 {
        assert!(began.elapsed() < Duration::from_secs(30), "a link is told to be open");
    }

    pair.redis.restart();
    pair.until(|ready| ready["limits"]["shared"] == true && ready["limits"]["nodes"] == 2).await;
    assert_eq!(pair.served("four", 40).await, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_slows_nobody_for_longer_than_is_set() {
    let pair = Pair::new(|config| config.limits.redis_timeout_ms = 300).await;
    pair.redis.signal("STOP");
    let began = Instant::now();
    assert_eq!(pair.served("one", 40).await, 50);
    // Two workers each wait once on each gateway, and then no more: 80 calls would be 24 s.
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    pair.until(|ready| ready["limits"]["shared"] == false).await;
    pair.redis.signal("CONT");
    pair.until(|ready| ready["limits"]["shared"] == true).await;
}
