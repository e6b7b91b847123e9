//! What handlers ask of the gateway besides its tables: a store, a cache, configuration, secrets, and
//! the world outside.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use rowgate::auth::key;
use rowgate::auth::token::Claims;
use rowgate::config::{Config, Hidden};
use rowgate::deploy::bundle::read_bundle;
use rowgate::record::{self, Install};
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer};
use crate::support::outside::{Outside, Seen, redirects, says};

const FUNCTIONS: &str = r#"
local functions = {}

-- The same questions from each kind of handler.
local function ask(ctx, args)
  local does = {
    get = function(key) return { value = ctx.kv.get(key) } end,
    entry = function(key) return { entry = ctx.kv.entry(key) } end,
    put = function(key, value, options) return ctx.kv.put(key, value, options) end,
    delete = function(key, options) return ctx.kv.delete(key, options) end,
    list = function(options) return array(ctx.kv.list(options)) end,
    remember = function(key, value, seconds) ctx.cache.set(key, value, seconds) return true end,
    recall = function(key) return { value = ctx.cache.get(key) } end,
    forget = function(key) ctx.cache.delete(key) return true end,
    config = function(name) return { value = ctx.config.get(name) } end,
    secret = function(name) return { value = ctx.secrets.get(name) } end,
    fetch = function(url, options) return ctx.fetch(url, options) end,
  }
  local given = args.given or {}
  local ok, result = pcall(does[args.ask], given[1], given[2], given[3])
  if args.fail then
    error({ code = "undone", message = "undone" })
  end
  if ok then
    return { ok = result }
  elseif type(result) == "table" then
    return { code = result.code, message = result.message }
  end
  return { text = result }
end

local args = { ask = v.string(), given = v.json():optional(), fail = v.boolean():optional() }
functions.read = query({ args = args, handler = ask })
functions.write = mutation({ args = args, handler = ask })
functions.act = action({ args = args, handler = ask })

functions.fill = mutation({
  args = { from = v.integer(), count = v.integer() },
  handler = function(ctx, args)
    for index = args.from, args.from + args.count - 1 do
      ctx.kv.put("k" .. index, index)
    end
    return true
  end,
})

functions.often = action({
  args = { url = v.string() },
  handler = function(ctx, args)
    local answered = 0
    while true do
      local ok, reason = pcall(ctx.fetch, args.url)
      if not ok then
        return { answered = answered, code = reason.code }
      end
      answered += 1
    end
  end,
})

functions.raise = action({
  args = { url = v.string() },
  handler = function(ctx, args)
    return ctx.fetch(args.url, { headers = { authorization = ctx.secrets.get("API_KEY") } })
  end,
})

functions.nul = mutation({ handler = function(ctx)
  ctx.kv.put("n", "x\0y")
  local ok, reason = pcall(ctx.kv.put, "n\0", 1)
  return { ctx.kv.get("n") == "x\0y", ok, reason.code }
end })

functions.leak = action({ handler = function(ctx) error(ctx.secrets.get("API_KEY")) end })

return functions
"#;

fn document(port: u16) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("server");
    std::fs::create_dir(&server).unwrap();
    let extension = json!({
        "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "weather", "version": "1.0.0",
        "egress": { "allow_hosts": ["good.test", "inside.test"], "allow_ports": [port] },
        "secrets": ["API_KEY", "OTHER"],
    });
    std::fs::write(folder.path().join("extension.json"), extension.to_string()).unwrap();
    std::fs::write(server.join("schema.luau"), "return defineSchema({})").unwrap();
    std::fs::write(server.join("functions.luau"), FUNCTIONS).unwrap();
    let read = read_bundle(folder.path()).unwrap();
    assert_eq!(read.diagnostics, Vec::new());
    serde_json::to_value(&read.definition).unwrap()
}

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// A gateway with a key for secrets, and an operator.
struct Bed {
    test: TestGateway,
    admin_key: String,
}

impl Bed {
    async fn new() -> Bed {
        Bed::with(443, |_| {}).await
    }

    async fn with(port: u16, settings: impl FnOnce(&mut Config)) -> Bed {
        Bed::of(&document(port), settings).await
    }

    /// Of another bundle.
    async fn of(document: &Value, settings: impl FnOnce(&mut Config)) -> Bed {
        let test = TestGateway::with(document, |config| {
            config.secrets.key = Some(Hidden::new(KEY.to_owned()));
            config.script.query.host_calls_max = 2_000;
            config.script.mutation.host_calls_max = 2_000;
            config.script.action.host_calls_max = 2_000;
            settings(config);
        })
        .await;
        let (admin_key, hash) = key::mint_admin_key().unwrap();
        let record = record::AdminKey { id: Uuid::now_v7(), hash, name: "tests".to_owned(), expires_at: None };
        record::insert_admin_key(&test.database.gateway_client().await, &record).await.unwrap();
        test.server.reload().await.unwrap();
        Bed { test, admin_key }
    }

    /// What `function` answers `ask` of `given`.
    async fn ask(&self, function: &str, ask: &str, given: Value) -> Value {
        self.test.call(function, json!({ "ask": ask, "given": given })).await.ok()
    }

    /// That of a mutation.
    async fn ok(&self, ask: &str, given: Value) -> Value {
        let answer = self.ask("write", ask, given).await;
        answer.get("ok").unwrap_or_else(|| panic!("{answer}")).clone()
    }

    /// Another install of the extension, and a token for it.
    async fn other_install(&self) -> (Uuid, String) {
        let other = Install { id: Uuid::now_v7(), ..self.test.install.clone() };
        record::insert_install(&self.test.database.gateway_client().await, &other).await.unwrap();
        self.test.server.reload().await.unwrap();
        (other.id, self.test.token_of(&Claims::new(other.id, Role::Owner, Some("x".to_owned()))))
    }

    async fn ask_as(&self, (install, token): &(Uuid, String), function: &str, ask: &str, given: Value) -> Value {
        let url = format!("http://{}/v1/extension-functions/{install}/{function}", self.test.server.address);
        let request = self.test.http.post(url).bearer_auth(token).json(&json!({ "ask": ask, "given": given }));
        answer(request).await.ok()
    }

    async fn admin(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("http://{}/admin/v1/{path}", self.test.server.admin_address);
        let mut request = self.test.http.request(method, url).bearer_auth(&self.admin_key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.admin(reqwest::Method::PUT, path, Some(body)).await
    }

    async fn get(&self, path: &str) -> Value {
        self.admin(reqwest::Method::GET, path, None).await.ok()
    }

    fn of_install(&self) -> String {
        format!("?install_id={}", self.test.install.id)
    }
}

#[tokio::test]
async fn the_store_keeps_values_and_their_versions() {
    let bed = Bed::new().await;
    assert_eq!(bed.ok("get", json!(["a"])).await, json!({}), "what is not there is nil");
    assert_eq!(bed.ok("put", json!(["a", { "n": [1, "ä\u{1}", true, null] }])).await, json!(1));
    assert_eq!(bed.ok("put", json!(["a", 7])).await, json!(2));
    assert_eq!(bed.ok("entry", json!(["a"])).await, json!({ "entry": { "value": 7, "version": 2 } }));
    assert_eq!(bed.ok("put", json!(["a", "x\u{1}y", { "version": 2 }])).await, json!(3));
    let stale = bed.ask("write", "put", json!(["a", 8, { "version": 2 }])).await;
    assert_eq!(stale, json!({ "code": "version_mismatch", "message": "`a` is in version 3" }));
    let there = bed.ask("act", "put", json!(["a", 8, { "version": 0 }])).await;
    assert_eq!(there["code"], "version_mismatch");
    assert_eq!(bed.ask("act", "put", json!(["b/1", 1, { "version": 0 }])).await, json!({ "ok": 1 }));
    assert_eq!(bed.ask("act", "put", json!(["b/2", null])).await, json!({ "ok": 1 }));
    let gone = bed.ask("write", "put", json!(["c", 1, { "version": 4 }])).await;
    assert_eq!(gone["message"], "`c` is not there");
    assert_eq!(bed.ask("read", "get", json!(["a"])).await, json!({ "ok": { "value": "x\u{1}y" } }));
    assert_eq!(bed.ask("act", "get", json!(["b/2"])).await, json!({ "ok": { "value": null } }), "null is a value");

    let keys = |list: &Value| list.as_array().unwrap().iter().map(|one| one["key"].clone()).collect::<Vec<_>>();
    assert_eq!(keys(&bed.ask("read", "list", json!([])).await["ok"]), ["a", "b/1", "b/2"]);
    assert_eq!(keys(&bed.ask("act", "list", json!([{ "prefix": "b/", "after": "b/1" }])).await["ok"]), ["b/2"]);
    assert_eq!(keys(&bed.ok("list", json!([{ "limit": 1 }])).await), ["a"]);
    assert_eq!(bed.ask("write", "delete", json!(["a", { "version": 1 }])).await["code"], "version_mismatch");
    assert_eq!(bed.ok("delete", json!(["a", { "version": 3 }])).await, json!(true));
    assert_eq!(bed.ask("act", "delete", json!(["a"])).await, json!({ "ok": false }));
    for (ask, given) in [
        ("get", json!([])),
        ("get", json!([""])),
        ("get", json!([7])),
        ("get", json!(["k".repeat(513)])),
        ("put", json!(["a", 1, { "vresion": 1 }])),
        ("list", json!([{ "limit": 1001 }])),
        ("list", json!([{ "limit": 0 }])),
    ] {
        let refused = bed.ask("write", ask, given.clone()).await;
        assert!(["question_invalid", "key_invalid"].contains(&refused["code"].as_str().unwrap()), "{given}: {refused}");
    }
    assert_eq!(bed.test.call("nul", json!({})).await.ok(), json!([true, false, "key_invalid"]));
    let too_large = bed.ask("write", "put", json!(["a", "a".repeat(65_535)])).await;
    assert_eq!(too_large["code"], "value_too_large");
    assert_eq!(bed.ok("put", json!(["a", "a".repeat(65_534)])).await, json!(1));
}

#[tokio::test]
async fn the_store_goes_with_its_transaction_and_its_install() {
    let bed = Bed::new().await;
    let undone = bed.test.call("write", json!({ "ask": "put", "given": ["a", 1], "fail": true })).await;
    assert_eq!(undone.status, 422, "{}", undone.text);
    assert_eq!(bed.ok("get", json!(["a"])).await, json!({}));
    let stays = bed.test.call("act", json!({ "ask": "put", "given": ["a", 1], "fail": true })).await;
    assert_eq!(stays.status, 422, "{}", stays.text);
    assert_eq!(bed.ok("get", json!(["a"])).await, json!({ "value": 1 }), "an action has no transaction");
    let other = bed.other_install().await;
    assert_eq!(bed.ask_as(&other, "write", "get", json!(["a"])).await, json!({ "ok": {} }));
    assert_eq!(bed.ask_as(&other, "act", "delete", json!(["a"])).await, json!({ "ok": false }));
    let written = bed.ask("read", "put", json!(["a", 2])).await;
    assert!(written["text"].as_str().unwrap().contains("`ctx.kv.put` is not there in a query"), "{written}");
}

#[tokio::test]
async fn the_store_holds_its_keys_and_no_more() {
    let bed = Bed::new().await;
    for from in [0, 500] {
        bed.test.call("fill", json!({ "from": from, "count": 500 })).await.ok();
    }
    let full = bed.ask("write", "put", json!(["one more", 1])).await;
    assert_eq!(full["code"], "kv_full", "{full}");
    assert_eq!(bed.ask("act", "put", json!(["one more", 1, { "version": 0 }])).await["code"], "kv_full");
    assert_eq!(bed.ok("put", json!(["k7", 1])).await, json!(2), "those that are there can be written");
    assert_eq!(bed.ok("list", json!([{ "limit": 1000 }])).await.as_array().unwrap().len(), 1000);
    assert_eq!(bed.ok("delete", json!(["k7"])).await, json!(true));
    assert_eq!(bed.ok("put", json!(["one more", 1])).await, json!(1));
}

#[tokio::test]
async fn the_cache_is_an_installs_own() {
    let bed = Bed::with(443, |config| config.http.workers = 1).await;
    assert_eq!(bed.ask("read", "recall", json!(["a"])).await, json!({ "ok": {} }));
    assert_eq!(bed.ask("read", "remember", json!(["a", { "n": 1 }, 60])).await, json!({ "ok": true }));
    for function in ["read", "write", "act"] {
        assert_eq!(bed.ask(function, "recall", json!(["a"])).await, json!({ "ok": { "value": { "n": 1 } } }));
    }
    let other = bed.other_install().await;
    assert_eq!(bed.ask_as(&other, "act", "recall", json!(["a"])).await, json!({ "ok": {} }));
    assert_eq!(bed.ok("forget", json!(["a"])).await, json!(true));
    assert_eq!(bed.ok("recall", json!(["a"])).await, json!({}));
    let too_large = bed.ask("act", "remember", json!(["a", "a".repeat(4_095)])).await;
    assert_eq!(too_large["code"], "value_too_large");
    for seconds in [json!(0), json!(86_401), json!(1.5), json!("1")] {
        assert_eq!(bed.ask("act", "remember", json!(["a", 1, seconds])).await["code"], "question_invalid");
    }
}

#[tokio::test]
async fn configuration_is_what_operators_set() {
    let bed = Bed::new().await;
    let (extension, install) = (bed.test.extension_id, bed.test.install.id);
    assert_eq!(bed.ask("read", "config", json!(["GREETING"])).await, json!({ "ok": {} }));
    let of_all = json!({ "extension_id": extension, "value": { "text": "hello", "n": 1.5 } });
    bed.put("config/GREETING", of_all).await.ok();
    assert_eq!(bed.ask("read", "config", json!(["GREETING"])).await["ok"]["value"]["text"], "hello");
    bed.put("config/GREETING", json!({ "install_id": install, "value": "hi" })).await.ok();
    for function in ["read", "write", "act"] {
        assert_eq!(bed.ask(function, "config", json!(["GREETING"])).await, json!({ "ok": { "value": "hi" } }));
    }
    let other = bed.other_install().await;
    assert_eq!(bed.ask_as(&other, "act", "config", json!(["GREETING"])).await["ok"]["value"]["n"], json!(1.5));
    let listed = bed.get(&format!("config{}", bed.of_install())).await;
    assert_eq!((&listed[0]["name"], &listed[0]["value"]), (&json!("GREETING"), &json!("hi")));
    let unset = || bed.admin(reqwest::Method::DELETE, "config/GREETING", None);
    assert_eq!(unset().await.problem(), (422, "arguments_invalid".to_owned()), "whose?");
    let path = format!("config/GREETING{}", bed.of_install());
    bed.admin(reqwest::Method::DELETE, &path, None).await.ok();
    assert_eq!(bed.admin(reqwest::Method::DELETE, &path, None).await.status, 404);
    assert_eq!(bed.ask("read", "config", json!(["GREETING"])).await["ok"]["value"]["text"], "hello");
    for (path, body) in [
        ("config/a-b", json!({ "install_id": install, "value": 1 })),
        ("config/A", json!({ "install_id": install, "value": "a".repeat(70_000) })),
        ("config/A", json!({ "install_id": Uuid::now_v7(), "value": 1 })),
        ("config/A", json!({ "install_id": install, "extension_id": extension, "value": 1 })),
        ("config/A", json!({ "install_id": install })),
    ] {
        assert_eq!(bed.put(path, body).await.problem(), (422, "arguments_invalid".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn secrets_are_live_and_seen_by_actions_alone() {
    let bed = Bed::new().await;
    let (extension, install) = (bed.test.extension_id, bed.test.install.id);
    assert_eq!(bed.ask("act", "secret", json!(["API_KEY"])).await, json!({ "ok": {} }), "not set is nil");
    bed.put("secrets/API_KEY", json!({ "extension_id": extension, "value": "hush-of-all" })).await.ok();
    assert_eq!(bed.ask("act", "secret", json!(["API_KEY"])).await, json!({ "ok": { "value": "hush-of-all" } }));
    let answer = bed.put("secrets/API_KEY", json!({ "install_id": install, "value": "hush-of-one" })).await;
    assert!(!answer.text.contains("hush"), "{}", answer.text);
    assert_eq!(bed.ask("act", "secret", json!(["API_KEY"])).await["ok"]["value"], "hush-of-one");
    let other = bed.other_install().await;
    assert_eq!(bed.ask_as(&other, "act", "secret", json!(["API_KEY"])).await["ok"]["value"], "hush-of-all");

    for function in ["read", "write"] {
        let missing = bed.ask(function, "secret", json!(["API_KEY"])).await;
        assert!(missing["text"].as_str().unwrap().contains("`ctx.secrets` is not there"), "{missing}");
        let redacted = bed.ask(function, "config", json!(["API_KEY"])).await;
        assert_eq!(redacted, json!({ "ok": { "value": "[redacted]" } }));
    }
    let misspelt = bed.ask("act", "secret", json!(["API_KEZ"])).await;
    assert_eq!(misspelt["message"], "the extension has no secret `API_KEZ`; did you mean `API_KEY`?");
    let undeclared = bed.put("secrets/API_KEZ", json!({ "install_id": install, "value": "hush" })).await;
    assert!(undeclared.text.contains("did you mean `API_KEY`?"), "{}", undeclared.text);
    for value in [json!(""), json!("a".repeat(20_000)), json!(123_456_789), json!(null)] {
        let refused = bed.put("secrets/OTHER", json!({ "install_id": install, "value": value })).await;
        assert_eq!(refused.problem(), (422, "arguments_invalid".to_owned()));
        assert!(!refused.text.contains("123456789"), "{}", refused.text);
    }

    let listed = bed.get(&format!("secrets{}", bed.of_install())).await;
    assert_eq!((&listed[0]["name"], &listed[0]["is_set"]), (&json!("API_KEY"), &json!(true)));
    assert_eq!((&listed[1]["name"], &listed[1]["is_set"]), (&json!("OTHER"), &json!(false)));
    assert!(!listed.to_string().contains("hush"), "{listed}");
    let leaked = bed.test.call("leak", json!({})).await;
    assert_eq!(leaked.problem(), (500, "handler_failed".to_owned()));
    assert!(!leaked.text.contains("hush"), "{}", leaked.text);

    // At rest nothing of a value is to be read, and a row that is copied opens no more.
    let client = bed.test.database.gateway_client().await;
    let rows = client.query("SELECT sealed FROM rowgate.secrets", &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let sealed: Vec<u8> = row.get(0);
        assert!(!String::from_utf8_lossy(&sealed).contains("hush"));
    }
    let copy = "INSERT INTO rowgate.secrets (extension_id, install_id, name, key_mark, sealed)
                SELECT extension_id, install_id, 'OTHER', key_mark, sealed FROM rowgate.secrets
                WHERE install_id IS NOT NULL";
    client.execute(copy, &[]).await.unwrap();
    let copied = bed.test.call("act", json!({ "ask": "secret", "given": ["OTHER"] })).await;
    assert_eq!(copied.problem(), (503, "secrets_unavailable".to_owned()));

    let path = format!("secrets/API_KEY{}", bed.of_install());
    bed.admin(reqwest::Method::DELETE, &path, None).await.ok();
    assert_eq!(bed.ask("act", "secret", json!(["API_KEY"])).await["ok"]["value"], "hush-of-all");
}

#[tokio::test]
async fn without_a_key_there_are_no_secrets() {
    let bed = Bed::with(443, |config| config.secrets.key = None).await;
    let refused = bed.put("secrets/API_KEY", json!({ "install_id": bed.test.install.id, "value": "hush" })).await;
    assert_eq!(refused.problem(), (503, "secrets_unavailable".to_owned()));
    assert!(refused.text.contains("ROWGATE_SECRETS_KEY") && !refused.text.contains("hush"), "{}", refused.text);
    assert_eq!(bed.ask("act", "secret", json!(["API_KEY"])).await["code"], "secrets_unavailable");
}

#[tokio::test]
async fn actions_fetch_what_their_extension_names() {
    let outside = Outside::new(|seen: &Seen| match seen.path() {
        "/binary" => says("200 OK", "", [0xff, 0x00]),
        "/packed" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all("{\"n\": 1}".as_bytes()).unwrap();
            says("200 OK", "content-encoding: gzip\r\n", encoder.finish().unwrap())
        }
        "/inside" => {
            redirects(302, &format!("http://inside.test:{}/", seen.header("host").unwrap().split_once(':').unwrap().1))
        }
        _ => says("201 Created", "x-a: b\r\n", format!("{} {}", seen.body, seen.header("x-b").unwrap_or_default())),
    })
    .await;
    outside.name("inside.test", &[&[[10, 0, 0, 1].into()]]);
    let settings = outside.settings();
    let bed = Bed::with(outside.port, |config| config.fetch = settings).await;
    let url = |path: &str| format!("http://good.test:{}{path}", outside.port);

    let options =
        json!({ "method": "POST", "headers": { "x-b": "c" }, "query": { "q": "d e", "n": 1 }, "json": { "k": [1] } });
    let answer = bed.ask("act", "fetch", json!([url("/a"), options])).await["ok"].clone();
    assert_eq!((&answer["status"], &answer["body"]), (&json!(201), &json!("{\"k\":[1]} c")), "{answer}");
    assert_eq!((&answer["headers"]["x-a"], &answer["url"]), (&json!("b"), &json!(url("/a?q=d+e&n=1"))));
    assert_eq!(outside.seen()[0].header("content-type"), Some("application/json".to_owned()));
    assert_eq!(bed.ask("act", "fetch", json!([url("/packed")])).await["ok"]["body"], "{\"n\": 1}");
    let sent = json!([url("/b"), { "method": "PUT", "bodyBase64": "YWI=" }]);
    assert_eq!(bed.ask("act", "fetch", sent).await["ok"]["body"], "ab ");
    assert_eq!(bed.ask("act", "fetch", json!([url("/binary")])).await["code"], "fetch_answer_invalid");
    assert_eq!(bed.ask("act", "fetch", json!([url("/binary"), { "binary": true }])).await["ok"]["body"], "/wA=");
    let by_hand = json!([url("/inside"), { "redirect": "manual" }]);
    assert_eq!(bed.ask("act", "fetch", by_hand).await["ok"]["status"], 302);
    for (given, code) in [
        (json!([url("/inside")]), "fetch_address_refused"),
        (json!(["http://evil.test/"]), "fetch_host_not_allowed"),
        (json!(["http://good.test:1/"]), "fetch_port_not_allowed"),
        (json!(["http://127.0.0.1/"]), "fetch_host_not_allowed"),
        (json!(["gopher://good.test/"]), "fetch_url_invalid"),
        (json!([url("/"), { "headers": { "Host": "evil.test" } }]), "fetch_request_invalid"),
        (json!([url("/"), { "body": "a", "json": 1, "method": "POST" }]), "fetch_request_invalid"),
        (json!([url("/"), { "query": { "a": [] } }]), "fetch_request_invalid"),
        (json!([url("/"), { "methd": "POST" }]), "question_invalid"),
        (json!([]), "question_invalid"),
        (json!([7]), "question_invalid"),
    ] {
        let refused = bed.ask("act", "fetch", given.clone()).await;
        assert_eq!(refused["code"], code, "{given}: {refused}");
    }
    let misspelt = bed.ask("act", "fetch", json!([url("/"), { "headesr": { "authorization": "hush" } }])).await;
    assert!(misspelt["message"].as_str().unwrap().starts_with("unknown field `headesr`"), "{misspelt}");
    let often = bed.test.call("often", json!({ "url": url("/c") })).await.ok();
    assert_eq!(often, json!({ "answered": 10, "code": "fetch_calls_exceeded" }));
    for function in ["read", "write"] {
        let missing = bed.ask(function, "fetch", json!([url("/")])).await;
        assert!(missing["text"].as_str().unwrap().contains("`ctx.fetch` is not there"), "{missing}");
    }
    assert_eq!(outside.reached(), 0);

    // What nobody caught is told by its code, without what was sent.
    bed.put("secrets/API_KEY", json!({ "install_id": bed.test.install.id, "value": "hush\nhush" })).await.ok();
    let raised = bed.test.call("raise", json!({ "url": url("/") })).await;
    assert_eq!(raised.problem(), (500, "handler_failed".to_owned()));
    assert!(!raised.text.contains("hush"), "{}", raised.text);
    let metrics = format!("http://{}/metrics", bed.test.server.admin_address);
    let metrics = bed.test.http.get(metrics).send().await.unwrap().text().await.unwrap();
    let ok = metrics.lines().find(|line| line.starts_with("rowgate_fetches_total{") && line.contains("code=\"ok\""));
    assert!(ok.is_some_and(|line| line.contains(&bed.test.extension_id.to_string())), "{metrics}");
}

#[tokio::test]
async fn the_example_asks_a_service_of_the_tests_own() {
    let outside = Outside::new(|seen: &Seen| match seen.path() {
        "/now?city=Turin" => says("200 OK", "", r#"{"celsius": 21.5}"#),
        _ => says("404 Not Found", "", ""),
    })
    .await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/weather");
    let read = read_bundle(&folder).unwrap();
    assert_eq!(read.diagnostics, Vec::new());
    let mut document = serde_json::to_value(&read.definition).unwrap();
    document["extension"]["egress"] = json!({ "allowHosts": ["good.test"], "allowPorts": [outside.port] });
    let fetch = outside.settings();
    let bed = Bed::of(&document, |config| config.fetch = fetch).await;
    let service = format!("http://good.test:{}/now", outside.port);
    bed.put("config/SERVICE", json!({ "install_id": bed.test.install.id, "value": service })).await.ok();
    bed.put("secrets/API_KEY", json!({ "install_id": bed.test.install.id, "value": "hush" })).await.ok();
    let refreshed = bed.test.call("refresh", json!({ "city": "Turin" })).await.ok();
    assert_eq!(refreshed, json!({ "city": "Turin", "celsius": 21.5, "records": 1 }));
    assert_eq!(outside.seen()[0].header("authorization"), Some("bearer hush".to_owned()));
    let nowhere = bed.test.call("refresh", json!({ "city": "Nowhere" })).await;
    assert_eq!(nowhere.problem(), (422, "handler_refused".to_owned()));
    assert_eq!(bed.test.call("warmest", json!({})).await.ok(), json!({ "cities": ["Turin"], "records": 1 }));
}
