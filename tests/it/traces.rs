//! Traces by OTLP over HTTP, to a collector of the tests' own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use rowgate::config::traces::Traces;
use serde_json::{Value, json};

use crate::support::gateway::{TestGateway, answer, document};

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-00";

/// What a collector was sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

/// A field of a message of protobuf.
#[derive(Debug, Clone)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// A message of protobuf: its fields by number, read without knowing what they mean.
#[derive(Debug, Clone, Default)]
struct Message(BTreeMap<u64, Vec<Field>>);

impl Message {
    fn read(mut bytes: &[u8]) -> Message {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let (mut number, mut shift) = (0, 0);
            loop {
                let (first, rest) = bytes.split_first().unwrap();
                *bytes = rest;
                number |= u64::from(first & 0x7f) << shift;
                shift += 7;
                if first & 0x80 == 0 {
                    return number;
                }
            }
        }
        let mut message = Message::default();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let field = match tag & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => {
                    let (number, rest) = bytes.split_first_chunk::<8>().unwrap();
                    bytes = rest;
                    Field::Number(u64::from_le_bytes(*number))
                }
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (text, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(text.to_vec())
                }
                other => panic!("wire type {other}"),
            };
            message.0.entry(tag >> 3).or_default().push(field);
        }
        message
    }

    fn all(&self, field: u64) -> Vec<Message> {
        self.bytes_of(field).iter().map(|bytes| Message::read(bytes)).collect()
    }

    fn bytes_of(&self, field: u64) -> Vec<Vec<u8>> {
        let fields = self.0.get(&field).into_iter().flatten();
        let bytes = fields.map(|field| match field {
            Field::Bytes(bytes) => bytes.clone(),
            Field::Number(_) => panic!("field is a number"),
        });
        bytes.collect()
    }

    fn text(&self, field: u64) -> String {
        String::from_utf8(self.bytes_of(field).remove(0)).unwrap()
    }

    fn hex(&self, field: u64) -> String {
        self.bytes_of(field)
            .first()
            .map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            .unwrap_or_default()
    }

    fn number(&self, field: u64) -> u64 {
        match self.0.get(&field).and_then(|fields| fields.first()) {
            Some(Field::Number(number)) => *number,
            None => 0,
            Some(Field::Bytes(_)) => panic!("field {field} is no number"),
        }
    }

    /// Attributes in `field`, each as text.
    fn attributes(&self, field: u64) -> BTreeMap<String, String> {
        let pairs = self.all(field).into_iter().map(|pair| {
            let value = pair.all(2).remove(0);
            let text = if value.0.contains_key(&1) { value.text(1) } else { value.number(3).to_string() };
            (pair.text(1), text)
        });
        pairs.collect()
    }
}

impl Collector {
    async fn start() -> (Collector, String) {
        let collector = Collector::default();
        let take = async |State(Collector(taken)): State<Collector>, headers: HeaderMap, body: Bytes| {
            taken.lock().unwrap().push((headers, body));
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (collector, url)
    }

    /// The resources' attributes, and every span.
    fn spans(&self) -> (Vec<BTreeMap<String, String>>, Vec<Message>) {
        let (mut resources, mut spans) = (Vec::new(), Vec::new());
        for (headers, body) in &*self.0.lock().unwrap() {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            assert_eq!(headers["x-team"], "a b");
            for of_resource in Message::read(body).all(1) {
                resources.push(of_resource.all(1).remove(0).attributes(1));
                spans.extend(of_resource.all(2).into_iter().flat_map(|scoped| scoped.all(2)));
            }
        }
        (resources, spans)
    }
}

fn notes() -> Value {
    document(
        json!({ "notes": { "columns": { "text": { "type": "string" } } } }),
        json!({
            "add": { "kind": "insertRow", "table": "notes", "values": { "text": { "arg": "text" } } },
            "list": { "kind": "queryRows", "table": "notes", "limit": 10 },
        }),
    )
}

async fn traced(endpoint: &str, more: &[(&str, &str)]) -> TestGateway {
    let mut environment = BTreeMap::from([
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint.to_owned()),
        ("OTEL_EXPORTER_OTLP_HEADERS".to_owned(), "x-team=a%20b".to_owned()),
        ("OTEL_SERVICE_NAME".to_owned(), "gateways".to_owned()),
        // What is sent is sent at the end.
        ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "60000".to_owned()),
    ]);
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut reasons = Vec::new();
    let traces = Traces::of(&environment, &mut reasons);
    assert_eq!(reasons, Vec::<String>::new());
    TestGateway::with(&notes(), |config| config.traces = traces).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_has_a_span_for_each_stage_within_its_callers_trace() {
    let (collector, url) = Collector::start().await;
    let test = traced(&url, &[]).await;
    let call = |function: &str, body: Value, traceparent: &str| {
        let token = test.token(rowgate_schema_dsl::definition::Role::Owner);
        let request = test.http.post(test.url(function)).bearer_auth(token).header("traceparent", traceparent);
        answer(request.header("x-request-id", format!("of-{function}")).json(&body))
    };
    call("list", json!({}), UNSAMPLED).await.ok();
    call("add", json!({ "text": "hush" }), SAMPLED).await.ok();
    call("nothing", json!({}), SAMPLED).await.problem();
    test.call("list", json!({})).await.ok();
    let (install, extension) = (test.install.id, test.extension_id);
    test.server.stop().await;

    let (resources, spans) = collector.spans();
    assert_eq!(resources.len(), 1, "one export, at the end");
    assert_eq!(resources[0]["service.name"], "gateways");
    let ours: Vec<&Message> = spans.iter().filter(|span| span.hex(1) == "4bf92f3577b34da6a3ce929d0e0e4736").collect();
    assert!(spans.iter().all(|span| span.hex(1) != "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "its caller keeps none");
    assert_eq!(spans.len() - ours.len(), 4, "a call that is nobody else's has a trace of its own");

    let roots: Vec<&&Message> = ours.iter().filter(|span| span.hex(4) == "00f067aa0ba902b7").collect();
    assert_eq!(roots.len(), 2);
    let root = roots[0];
    assert_eq!(root.text(5), "POST /v1/extension-functions/{install_id}/{function}");
    assert_eq!(root.number(6), 2, "a server's");
    let attributes = root.attributes(9);
    assert_eq!(attributes["url.path"], format!("/v1/extension-functions/{install}/add"));
    assert_eq!(
        (attributes["http.response.status_code"].as_str(), attributes["rowgate.request_id"].as_str()),
        ("200", "of-add")
    );
    assert!(!attributes.contains_key("error.type") && root.all(15).is_empty());
    let stages: Vec<&&Message> = ours.iter().filter(|span| span.hex(4) == root.hex(2)).collect();
    assert_eq!(stages.iter().map(|span| span.text(5)).collect::<Vec<_>>(), ["auth", "plan", "db"]);
    let mut before = root.number(7);
    for stage in stages {
        assert!(stage.number(7) >= before && stage.number(8) > stage.number(7), "{stage:?}");
        before = stage.number(8);
    }
    // Measured by two clocks' readings, so they may differ by a moment.
    assert!(before <= root.number(8) + 1_000_000);

    let failed = roots[1].attributes(9);
    assert_eq!(
        (failed["error.type"].as_str(), failed["http.response.status_code"].as_str()),
        ("function_unknown", "404")
    );
    assert!(roots[1].all(15).is_empty(), "what a caller did wrong is no error of ours");
    let sent = collector
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|(_, body)| String::from_utf8_lossy(body).into_owned())
        .collect::<String>();
    assert!(!sent.contains("hush") && !sent.contains("user-owner") && !sent.contains(&extension.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nowhere = format!("http://{}", socket.local_addr().unwrap());
    let test = traced(&nowhere, &[("OTEL_BSP_SCHEDULE_DELAY", "1"), ("OTEL_BSP_MAX_QUEUE_SIZE", "2")]).await;
    for _ in 0..20 {
        test.call("list", json!({})).await.ok();
    }
    let gateway = test.server.gateway.clone();
    test.server.stop().await;
    assert_eq!((gateway.metrics.spans_dropped.get(), gateway.metrics.spans_exported.get()), (80, 0));
}
