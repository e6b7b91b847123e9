//! Spans as collectors take them: an ExportTraceServiceRequest of OTLP 1, in protobuf.
//!
//! Three messages deep and a dozen fields, so it is written here by hand; the numbers are those of
//! `opentelemetry/proto/trace/v1/trace.proto`.

/// One span of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub trace_id: u128,
    pub span_id: u64,
    pub parent_id: Option<u64>,
    pub name: String,
    pub kind: SpanKind,
    pub start_unix_ns: u64,
    pub end_unix_ns: u64,
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether it failed by the gateway's own fault.
    pub is_error: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Internal,
    Server,
    Client,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Text(String),
    Number(i64),
}

/// The request that exports `spans`, made by what `resource` says.
pub(super) fn encode(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let mut described = Message::default();
    for (key, value) in resource {
        described.message(1, &attribute(key, &Attribute::Text(value.clone())));
    }
    let mut scope = Message::default();
    scope.bytes(1, b"rowgate");
    scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
    let mut scoped = Message::default();
    scoped.message(1, &scope);
    for span in spans {
        scoped.message(2, &encode_span(span));
    }
    let mut all = Message::default();
    all.message(1, &described);
    all.message(2, &scoped);
    let mut request = Message::default();
    request.message(1, &all);
    request.0
}

fn encode_span(span: &Span) -> Message {
    let mut out = Message::default();
    out.bytes(1, &span.trace_id.to_be_bytes());
    out.bytes(2, &span.span_id.to_be_bytes());
    if let Some(parent_id) = span.parent_id {
        out.bytes(4, &parent_id.to_be_bytes());
    }
    out.bytes(5, span.name.as_bytes());
    out.number(
        6,
        match span.kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
        },
    );
    out.fixed(7, span.start_unix_ns);
    out.fixed(8, span.end_unix_ns);
    for (key, value) in &span.attributes {
        out.message(9, &attribute(key, value));
    }
    if span.is_error {
        let mut status = Message::default();
        status.number(3, 2);
        out.message(15, &status);
    }
    out
}

fn attribute(key: &str, value: &Attribute) -> Message {
    let mut any = Message::default();
    match value {
        Attribute::Text(text) => any.bytes(1, text.as_bytes()),
        Attribute::Number(number) => any.number(3, number.cast_unsigned()),
    }
    let mut out = Message::default();
    out.bytes(1, key.as_bytes());
    out.message(2, &any);
    out
}

/// A message of protobuf that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    fn number(&mut self, field: u64, number: u64) {
        self.varint(field << 3);
        self.varint(number);
    }

    fn fixed(&mut self, field: u64, number: u64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }
}
