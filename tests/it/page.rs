//! The operators' page: its session, what a real browser makes of it, and that nothing which authors, clients
//! and operators write becomes markup. The browser is Chromium where that is installed (`apt-get install
//! chromium`); without it its tests are skipped, and say so.
//!
//! `ROWGATE_PICTURES=docs/operations cargo test --test it page::` takes the pictures of the documentation.

mod browser;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rowgate::auth::key;
use rowgate::config::LimitMode;
use rowgate::limit::resolve::function_key;
use rowgate::limit::traffic::{Asker, Traffic};
use rowgate::limit::{CallerKind, Class};
use rowgate::record::{self, AdminKey};
use rowgate::telemetry::history::Tally;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::page::browser::Browser;
use crate::support::gateway::{TestGateway, answer, deploy, document};

/// Runs and shows itself wherever it becomes markup.
const PLANTED: &str = "\"'><img src=x onerror=\"document.title='planted'\"><script>document.title='planted'</script>";

fn written() -> Value {
    let mut document = document(
        json!({ "notes": { "columns": { "text": { "type": "string" } }, "rows": 100 } }),
        json!({
            "add": { "kind": "insertRow", "table": "notes", "values": { "text": { "arg": "text" } } },
            "list": { "kind": "queryRows", "table": "notes", "limit": 10 },
        }),
    );
    document["handlers"] = json!({ "spin": { "kind": "query" }, "say": { "kind": "query" } });
    let source = "return {
        spin = query({ handler = function() while true do end end }),
        say = query({ handler = function(ctx) ctx.log.warn('a winner was drawn twice', { n = 1 }) return true end }),
    }";
    document["sources"] = json!({ "functions": source });
    document
}

/// A gateway that was called, with the key of an operator of this name.
async fn called(document: &Value, operator: &str) -> (TestGateway, String, Uuid) {
    let test = TestGateway::with(document, |config| {
        config.script.query.cpu_ms_max = 20;
        config.limits.mode = LimitMode::Enforce;
        // What is simulated is what a test has recorded.
        config.limits.traffic_callers_max = 0;
    })
    .await;
    let (text, hash) = key::mint_admin_key().unwrap();
    let id = Uuid::now_v7();
    let key = AdminKey { id, hash, name: operator.to_owned(), expires_at: None };
    record::insert_admin_key(&test.database.client().await, &key).await.unwrap();
    test.server.reload().await.unwrap();
    for _ in 0..20 {
        test.call("add", json!({ "text": "planted" })).await.ok();
        test.call("list", json!({})).await.ok();
    }
    test.call("list", json!({ "no": 1 })).await.problem();
    test.call_as(Role::Anonymous, "add", json!({ "text": "a" })).await.problem();
    test.call("spin", json!({})).await.problem();
    test.call("say", json!({})).await.ok();
    (test, text, id)
}

fn url(test: &TestGateway, path: &str) -> String {
    format!("http://{}/admin{path}", test.server.admin_address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_an_operators_and_of_the_page_alone() {
    let (test, key, id) = called(&written(), "tests").await;
    let origin = format!("http://{}", test.server.admin_address);
    let sign_in = |key: &str, origin: &str| {
        test.http.post(url(&test, "/session")).header("origin", origin).json(&json!({ "key": key }))
    };
    assert_eq!(answer(sign_in("rga_nothing", &origin)).await.problem().0, 401);
    assert_eq!(answer(sign_in(&key, "https://elsewhere.example")).await.problem(), (403, "access_denied".to_owned()));
    let signed = answer(sign_in(&key, &origin)).await;
    assert_eq!(signed.ok(), json!({ "operator": "tests" }));
    let cookie = signed.headers["set-cookie"].clone();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/admin"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    let behind_tls = answer(sign_in(&key, &origin.replace("http:", "https:"))).await;
    assert!(behind_tls.headers["set-cookie"].ends_with("; Secure"), "{:?}", behind_tls.headers);
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let get = |path: &str| test.http.get(url(&test, path)).header("cookie", &cookie);
    assert_eq!(answer(get("/v1/extensions")).await.ok()[0]["name"], "test");
    // Another site's page sends no such cookie; if it did, nothing would be changed by it.
    let install = json!({ "extension_id": test.extension_id, "account_id": Uuid::now_v7() });
    let make = || test.http.post(url(&test, "/v1/installs")).header("cookie", &cookie).json(&install);
    assert_eq!(answer(make().header("origin", "https://elsewhere.example")).await.problem().0, 401);
    assert_eq!(answer(make()).await.problem().0, 401);
    assert_eq!(answer(make().header("origin", &origin)).await.status, 201);

    for (path, part) in
        [("/", "<!doctype html>"), ("/page.js", "import"), ("/limits.js", "import"), ("/page.css", "color-scheme")]
    {
        let file = answer(test.http.get(url(&test, path))).await;
        assert!(file.status == 200 && file.text.contains(part), "{path}");
        let policy = &file.headers["content-security-policy"];
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
        assert!(!file.text.contains("https://") && !file.text.contains("//cdn"), "{path} names another host");
    }

    let functions = answer(get("/v1/functions")).await.ok();
    let of = |name: &str| {
        functions["functions"].as_array().unwrap().iter().find(|one| one["function"] == name).unwrap().clone()
    };
    assert_eq!((&of("add")["answered"], &of("add")["refused"]), (&json!(20), &json!(1)));
    assert_eq!((&of("spin")["failed"], &of("spin")["stopped"]), (&json!(1), &json!(1)));
    assert_eq!(of("spin")["stopped_by"], json!({ "processor_time": 1 }));
    assert!(of("list")["p99_ms"].as_f64().unwrap() > 0.0);
    let explained = answer(get(&format!("/v1/extensions/{}/functions/list", test.extension_id))).await.ok();
    assert!(explained["statements"][0]["sql"].as_str().unwrap().starts_with("SELECT"), "{explained}");
    assert!(!explained["statements"][0]["plan"].as_array().unwrap().is_empty(), "{explained}");
    assert!(!explained.to_string().contains("planted"));
    let revisions = answer(get(&format!("/v1/extensions/{}/revisions", test.extension_id))).await.ok();
    assert_eq!(revisions[0]["revision"], 1);
    for (path, status) in [
        ("/v1/traffic?minutes=0", 422),
        ("/v1/traffic?hours=1", 422),
        ("/v1/lines?after=x", 422),
        ("/v1/lines?install_id=x", 422),
        ("/v1/extensions/x/functions/list", 404),
        ("/v1/extensions/x/revisions", 404),
    ] {
        assert_eq!(answer(get(path)).await.problem().0, status, "{path}");
    }

    let revoked = record::revoke_admin_key(&test.database.client().await, id).await.unwrap();
    assert!(revoked);
    test.server.reload().await.unwrap();
    assert_eq!(answer(get("/v1/extensions")).await.problem().0, 401, "a key that is revoked has no session");
}

/// Hours as a busy gateway has behind it: traffic of three extensions, and what callers asked.
async fn busy(test: &TestGateway) -> Vec<Uuid> {
    let mut ids = vec![test.extension_id];
    for name in ["raffle", "weather"] {
        let mut other = document(json!({}), json!({}));
        other["tables"] = json!({ "notes": { "columns": { "text": { "type": "string" } }, "rows": 10 } });
        let id = Uuid::now_v7();
        other["extension"] = json!({ "id": id, "name": name, "version": "1.0.0" });
        deploy(&test.database, &other).await.unwrap();
        ids.push(id);
    }
    test.server.reload().await.unwrap();
    let now = SystemTime::now();
    let history = &test.server.gateway.metrics.history;
    let mut grown = vec![Tally::default(); ids.len()];
    for step in 0..390_u64 {
        for (place, tally) in grown.iter_mut().enumerate() {
            // A wave for each, and an hour's end at which one is called too often.
            let wave = ((step + 40 * place as u64) as f64 / 30.0).sin() * 12.0 + ((step * 7919) % 13) as f64;
            let calls = (60.0 / (place as f64 + 1.0) + wave).max(1.0) as u64;
            let over = if place == 0 && step > 300 && step < 345 { calls / 3 } else { 0 };
            let failed = if place == 2 && step % 97 < 4 { 3 } else { 0 };
            let more = Tally { answered: calls, limited: over, refused: calls / 25, failed };
            *tally = tally.and(more);
        }
        let at = now - Duration::from_secs(10 * (389 - step));
        let extensions = ids.iter().copied().zip(grown.iter().copied());
        history.sample(at, extensions, [(test.install.id, grown[0])]);
    }
    let began = UNIX_EPOCH.elapsed().unwrap().as_secs() / 60 * 60 - 3_600;
    let traffic = Traffic::new(1_000);
    for caller in 0..12_u128 {
        let asker = Asker {
            install_id: test.install.id,
            caller: caller * 0x1234_5678_9abc_def0_1234_5678_9abc,
            kind: if caller % 4 == 0 { CallerKind::Key } else { CallerKind::Token },
            class: Class::QueryRows,
            function: function_key("list"),
        };
        for second in 0..600_u64 {
            if second % (3 + 2 * caller as u64) == 0 {
                traffic.count(asker, began + second, false);
            }
        }
    }
    let body = traffic.take().to_bytes(began);
    record::traffic::keep(&test.database.client().await, began, Uuid::now_v7(), &body).await.unwrap();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_every_view() {
    let Some(mut browser) = block_in_place(Browser::start) else { return };
    let mut written = written();
    written["extension"]["name"] = json!("live-poll");
    let (test, key, _) = called(&written, "alice").await;
    busy(&test).await;
    let home = url(&test, "/");
    block_in_place(|| {
        signs_in_by_keyboard(&mut browser, &home, &key);
        shows_traffic(&mut browser);
        shows_functions_and_handlers(&mut browser);
        shows_lines_as_they_come(&mut browser, &test);
        shows_installs(&mut browser, &test);
        sets_a_limit_it_has_tried(&mut browser, &test);
        fits_everywhere(&mut browser);
        browser.evaluate("document.getElementById('out').click()");
        browser.until("!document.getElementById('sign-in').hidden");
        assert_eq!(browser.evaluate("fetch('v1/limits').then(({ status }) => status)"), 401, "signed out");
        assert_eq!(browser.complaints(), Vec::<String>::new());
        let elsewhere: Vec<String> = browser.asked().into_iter().filter(|url| !url.starts_with(&home)).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
    });
}

fn show(browser: &mut Browser, view: &str) {
    browser
        .evaluate(&format!("document.getElementById('view').removeAttribute('data-shows'); location.hash = '#{view}'"));
    let name = view.split('?').next().unwrap();
    browser.until(&format!("document.getElementById('view').dataset.shows === '{name}'"));
}

/// Whether the view has this text.
fn has(text: &str) -> String {
    format!("document.getElementById('view').textContent.includes({})", json!(text))
}

fn signs_in_by_keyboard(browser: &mut Browser, home: &str, key: &str) {
    browser.open(home);
    browser.until("document.activeElement?.id === 'key'");
    assert_eq!(browser.evaluate("document.getElementById('nav').hidden"), true, "nothing is shown before");
    browser.write("rga_nothing");
    browser.press("Enter");
    browser.until("document.getElementById('trouble').textContent.length > 0");
    browser.write(key);
    browser.press("Enter");
    browser.until("document.getElementById('view').dataset.shows === 'traffic'");
    assert_eq!(browser.evaluate("document.cookie"), "", "no script reads the session");
    let is_shown = format!("document.documentElement.outerHTML.includes({})", json!(key));
    assert_eq!(browser.evaluate(&is_shown), false);
    browser.open(home);
    browser.until("document.getElementById('view').dataset.shows === 'traffic'");
    let mut stops = Vec::new();
    for _ in 0..11 {
        browser.press("Tab");
        stops.push(browser.focused());
    }
    let expected = ["Skip to the content", "rowgate", "Traffic", "Functions", "Handlers", "Logs", "Installs", "Limits"];
    assert_eq!(stops[..8], expected, "{stops:?}");
    assert_eq!(stops[8..], ["Sign out", "Of", "1 h"], "{stops:?}");
}

fn shows_traffic(browser: &mut Browser) {
    for text in ["live-poll", "raffle", "weather", "Calls a minute by extension", "over a limit"] {
        browser.until(&has(text));
    }
    browser.until("document.querySelectorAll('path.line.c0, path.line.c1, path.line.c2').length >= 3");
    browser.until("document.querySelectorAll('rect.k-limited').length > 5");
    let rows = "document.querySelector('details table tbody').children.length";
    assert!(browser.evaluate(rows).as_u64().unwrap() > 50, "every number is in a table");
    browser.evaluate("document.querySelector('svg.chart').focus()");
    browser.press("ArrowRight");
    browser.until("document.querySelector('.tip:not([hidden])')?.textContent.includes('raffle')");
    browser.evaluate("document.activeElement.blur()");
    show(browser, "traffic?minutes=15");
    browser.evaluate("[...document.querySelectorAll('td a')].find((one) => one.textContent === 'raffle').click()");
    browser.until("document.querySelector('#of')?.selectedOptions[0].textContent === 'raffle'");
    show(browser, "traffic");
    takes(browser, "traffic");
}

fn shows_functions_and_handlers(browser: &mut Browser) {
    show(browser, "functions");
    browser.evaluate("document.querySelector('[aria-label=\"SQL of list\"]').focus()");
    browser.press("Enter");
    browser.until("document.querySelector('#explained pre.sql')?.textContent.startsWith('SELECT')");
    browser.until("/Index|Scan/.test(document.querySelectorAll('#explained pre')[1]?.textContent)");
    // Sorted by the calls of each, the fewest last.
    browser.evaluate("[...document.querySelectorAll('th button')].find((one) => one.textContent === 'calls').click()");
    let calls = "[...document.querySelectorAll('.end:nth-child(3)')].slice(1).map((one) => Number(one.textContent))";
    let calls: Vec<u64> = serde_json::from_value(browser.evaluate(calls)).unwrap();
    assert!(calls.len() >= 4 && calls.is_sorted_by(|one, other| one >= other), "{calls:?}");
    takes(browser, "functions");
    show(browser, "handlers");
    browser.until("document.querySelector('tr.marked')?.textContent.includes('processor_time 1')");
    takes(browser, "handlers");
}

fn shows_lines_as_they_come(browser: &mut Browser, test: &TestGateway) {
    show(browser, "logs");
    let lines = "document.querySelectorAll('tr[data-level=warn]').length";
    browser.until(&format!("{lines} === 1"));
    Handle::current().block_on(test.call("say", json!({}))).ok();
    browser.until(&format!("{lines} === 2"));
    browser.until(&has("a winner was drawn twice"));
    browser.evaluate("document.getElementById('find').focus()");
    browser.write("no line has these");
    browser.until("[...document.querySelectorAll('tr[data-level]')].every((row) => row.hidden)");
    browser.evaluate("document.getElementById('find').select()");
    browser.write("winner");
    browser.until("[...document.querySelectorAll('tr[data-level]')].some((row) => !row.hidden)");
    takes(browser, "logs");
}

fn shows_installs(browser: &mut Browser, test: &TestGateway) {
    show(browser, "installs");
    browser.until(&has(&test.install.id.to_string()));
    browser.evaluate("document.querySelector('[aria-label=\"Revisions of live-poll\"]').click()");
    browser.until("document.getElementById('revisions').textContent.includes('1.0.0')");
    takes(browser, "installs");
}

fn sets_a_limit_it_has_tried(browser: &mut Browser, test: &TestGateway) {
    show(browser, "limits?layer=caller&class=query_rows&per_minute=8");
    browser.until("document.querySelector('.report')?.textContent.includes('would be refused')");
    let refused = browser.evaluate("Number(document.querySelector('.report .tile b').textContent.replaceAll(',', ''))");
    assert!(refused.as_u64().unwrap() > 100, "{refused}");
    browser.until("document.querySelector('.report button')?.textContent.startsWith('Use ')");
    browser.evaluate("document.querySelector('.report button').click()");
    browser.until("document.querySelector('.report .tile b').textContent === '0'");
    browser.evaluate("document.getElementById('per_minute').select()");
    browser.write("8");
    browser
        .until(&format!("document.querySelector('.report .tile b').textContent.replaceAll(',', '') === '{refused}'"));
    let set = || {
        let client = Handle::current().block_on(test.database.client());
        let said = Handle::current().block_on(record::limits::overrides(&client)).unwrap();
        said.iter().map(|one| one.per_minute).collect::<Vec<_>>()
    };
    assert_eq!(set(), [], "trying sets nothing");
    browser.press("Enter");
    browser.until(&has("in force on every gateway"));
    browser.until(&has("8 a minute, 8 at once"));
    assert_eq!(set(), [Some(8)]);
    // What cannot be set is said beside the form.
    browser.evaluate(
        "document.getElementById('burst').value = '0'; document.querySelector('form.editor').noValidate = true",
    );
    browser.evaluate(
        "document.getElementById('per_minute').value = '5'; document.querySelector('form.editor').requestSubmit()",
    );
    browser.until("document.querySelector('.wrong').textContent.includes('burst')");
    show(browser, "limits?layer=caller&class=query_rows&per_minute=12&mode=shadow");
    browser.until("document.querySelector('.report')?.textContent.includes('counts these and refuses none')");
    takes(browser, "limits");
    for _ in 0..2 {
        let unset =
            "[...document.querySelectorAll('button')].find((one) => /^(Unset|Sure)/.test(one.textContent)).click()";
        browser.evaluate(unset);
    }
    browser.until(&has("operators have said nothing"));
    assert_eq!(set(), []);
    let trail = "[...document.querySelectorAll('[aria-label=\"Audit trail\"] tbody tr')].map((row) => row.children[1].textContent)";
    assert_eq!(browser.evaluate(trail), json!(["alice", "alice"]));
}

/// Dark and light, wide and narrow.
fn fits_everywhere(browser: &mut Browser) {
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.dark(false);
    let light = browser.evaluate(ground);
    browser.dark(true);
    assert_ne!(browser.evaluate(ground), light);
    browser.dark(false);
    for width in [390, 1_360] {
        browser.sized(width, 900);
        for view in ["traffic", "functions", "handlers", "logs", "installs", "limits?layer=install&per_minute=5"] {
            show(browser, view);
            let wide = browser.evaluate("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(wide <= width.into(), "{view} is {wide} wide where there are {width}");
        }
    }
}

/// Pictures for the documentation, where they are asked for.
fn takes(browser: &mut Browser, name: &str) {
    let Some(folder) = std::env::var_os("ROWGATE_PICTURES").map(PathBuf::from) else { return };
    for (dark, width, end) in [(false, 1_360, ""), (true, 1_360, "-dark"), (false, 390, "-narrow")] {
        browser.dark(dark);
        browser.sized(width, 900);
        // Twice a frame: what is drawn anew for another width is drawn by then.
        browser.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))");
        browser.picture(&folder.join(format!("page-{name}{end}.png")));
    }
    browser.dark(false);
    browser.sized(1_360, 900);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_written_becomes_markup() {
    let Some(mut browser) = block_in_place(Browser::start) else { return };
    let mut written = written();
    written["extension"]["name"] = json!(PLANTED);
    written["extension"]["version"] = json!(PLANTED);
    written["functions"]["list"]["filter"] = json!({ "column": "text", "op": "!=", "value": PLANTED });
    let source = format!(
        "return {{
            spin = query({{ handler = function() error({PLANTED:?}) end }}),
            say = query({{ handler = function(ctx) ctx.log.error({PLANTED:?}, {{ [{PLANTED:?}] = {PLANTED:?} }}) end }}),
        }}"
    );
    written["sources"]["functions"] = json!(source);
    let (test, key, _) = called(&written, PLANTED).await;
    test.server.gateway.metrics.remember([]);
    let origin = format!("http://{}", test.server.admin_address);
    let put = test.http.put(url(&test, "/v1/limits")).header("authorization", format!("Bearer {key}"));
    let planted =
        json!({ "layer": "function", "extension_id": test.extension_id, "function": "list", "per_minute": 5 });
    answer(put.json(&planted)).await.ok();
    block_in_place(|| {
        browser.open(&format!("{origin}/admin/"));
        browser.until("document.activeElement?.id === 'key'");
        browser.write(&key);
        browser.press("Enter");
        browser.until("document.getElementById('view').dataset.shows === 'traffic'");
        for (view, more) in [
            ("traffic", ""),
            ("functions", "document.querySelector('[aria-label=\"SQL of list\"]').click()"),
            ("handlers", ""),
            ("logs", ""),
            ("installs", "document.querySelector('[aria-label^=\"Revisions of\"]').click()"),
            ("limits", ""),
        ] {
            show(&mut browser, view);
            browser.evaluate(more);
            if !more.is_empty() {
                browser.until("document.querySelector('#explained section, #revisions section')");
            }
            browser.until(&has(PLANTED));
            let made = "document.querySelectorAll('main img, main script, main iframe, main [onerror]').length";
            assert_eq!(browser.evaluate(made), 0, "{view}");
            assert!(!browser.evaluate("document.title").as_str().unwrap().contains("planted"), "{view}");
        }
        // An address is written by whoever sends a link.
        for address in [PLANTED, "traffic?of=%22%3E%3Cimg%20src%3Dx%3E", "__proto__", "logs?install=%22%3E%3Cimg%3E"] {
            browser.evaluate(&format!("location.hash = {}", json!(format!("#{address}"))));
            browser.until("document.getElementById('view').children.length > 0");
            assert_eq!(browser.evaluate("document.querySelectorAll('main img').length"), 0, "{address}");
        }
        // Nor could the page's own script make any of it.
        let made = browser.evaluate("try { document.body.innerHTML = '<b>'; 'made' } catch (error) { error.name }");
        assert_eq!(made, "TypeError");
    });
}
