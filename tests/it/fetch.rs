//! The guarded client against a hostile world: where it never goes, and what it never waits for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use rowgate::config;
use rowgate::fetch::{Answer, Cause, Commons, Fetcher, Refused, Request};
use rowgate_schema_dsl::egress::Egress;
use tokio_rustls::TlsAcceptor;
use url::Url;
use uuid::Uuid;

use crate::support::outside::{Behaviour, GOOD, Outside, Seen, redirects, says};

const INSTALL: Uuid = Uuid::from_u128(7);

fn fetcher(settings: &config::Fetch) -> Fetcher {
    Fetcher::new(settings, &Commons::new(settings).unwrap())
}

/// An extension that names `hosts`, and the ports of `outside` and of http.
fn egress(outside: &Outside, hosts: &[&str]) -> Egress {
    Egress { allow_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), allow_ports: vec![outside.port, 80] }
}

fn get(url: impl Into<String>) -> Request {
    Request { url: url.into(), follows: true, ..Request::default() }
}

/// Fetches `url` for an extension that names the tests' good hosts.
async fn fetch(outside: &Outside, request: Request) -> Result<Answer, Refused> {
    let egress = egress(outside, &["good.test", "other.test", "moving.test", "127.0.0.1"]);
    fetcher(&outside.settings()).fetch(INSTALL, &egress, request).await
}

async fn world() -> Outside {
    Outside::new(|seen: &Seen| says("200 OK", "x-a: 1\r\nx-a: 2\r\n", format!("you asked for {}", seen.path()))).await
}

/// Addresses that are nobody's to reach from outside, as a name might lead to them.
const ADDRESSES: [&str; 48] = [
    "0.0.0.0",
    "10.0.0.1",
    "10.255.255.254",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.0.0.3",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.254",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.254",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:2::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2600::5efe:127.0.0.1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
];

/// Hosts of URLs that some parser takes for the machine itself or a neighbour.
const HOSTS: [&str; 66] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7F.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "127.0.0.01",
    "127.000.000.001",
    "%31%32%37.0.0.1",
    "127.0.0.%31",
    "127%2e0%2e0%2e1",
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "127.0.0.1\u{ad}",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ⓛocalhost",
    "loc\u{ad}alhost",
    "foo.localhost",
    "0",
    "0.0.0.0",
    "0x0",
    "127.0.0.3",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.43518",
    "10.0.0.1",
    "10.1",
    "172.16.0.1",
    "192.168.0.1",
    "192.168.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[::1%25lo]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "good.test@127.0.0.1",
    "good.test:80@127.0.0.1",
    "good.test%40127.0.0.1",
    "good.test\\@127.0.0.1",
    "127.0.0.1\\.good.test",
    "good.test@localhost",
    "user:password@good.test",
];

/// Everything before the path, of URLs that are none of the web's, or are not written as one.
fn oddities(port: u16) -> Vec<String> {
    let at = format!("127.0.0.1:{port}");
    let mut urls: Vec<String> = ["file", "ftp", "gopher", "ws", "wss", "unix", "javascript", "data", "blob", "htttp"]
        .iter()
        .map(|scheme| format!("{scheme}://{at}/"))
        .collect();
    for odd in [
        "",
        "/",
        "//AT/",
        "http:AT/",
        "http:/AT/",
        "http:///AT/",
        "http:\\\\AT\\",
        " http://AT/",
        "http://AT/ ",
        "\thttp://AT/",
        "ht\ntp://AT/",
        "http://AT/\r\nx-a: 1",
        "http://AT\u{0}.good.test/",
        "http://AT#@good.test/",
        "http://AT?@good.test/",
        "http://@AT/",
        "http://:@AT/",
        "http://AT;good.test/",
        "http://good.test:AT/",
        "http://good.test:0/",
        "http://good.test:99999/",
        "http://good.test:-1/",
        "HTTP://AT/",
        "jar:http://AT/!/",
        "view-source:http://AT/",
        "http://",
        "https://AT/",
    ] {
        urls.push(odd.replace("AT", &at));
    }
    urls
}

/// The extension names whatever the URL is read as, so that this alone never saves anybody.
fn egress_of(outside: &Outside, url: &str) -> Egress {
    let mut egress = egress(outside, &["good.test", "127.0.0.1", "localhost"]);
    if let Ok(parsed) = Url::parse(url) {
        egress.allow_hosts.extend(parsed.host_str().map(str::to_owned));
        egress.allow_ports.extend(parsed.port());
    }
    egress
}

#[tokio::test]
async fn hostile_urls_reach_nothing() {
    let outside = world().await;
    let fetcher = fetcher(&outside.settings());
    let port = outside.port;
    let mut urls: Vec<String> = HOSTS.iter().map(|host| format!("http://{host}:{port}/")).collect();
    urls.extend(oddities(port));
    assert!(urls.len() > 90);
    for url in &urls {
        let egress = egress_of(&outside, url);
        let refused = fetcher.fetch(INSTALL, &egress, get(url)).await.expect_err(url);
        let expected = [Cause::UrlInvalid, Cause::HostNotAllowed, Cause::PortNotAllowed, Cause::AddressRefused]
            .contains(&refused.cause);
        assert!(expected, "{url}: {refused}");
    }
    assert_eq!((outside.reached(), outside.seen().len()), (0, 0));

    // The listeners are there to be reached, and the client would, if it were allowed to.
    let open = config::Fetch { allow_networks: vec!["127.0.0.0/8".parse().unwrap()], ..outside.settings() };
    let open = self::fetcher(&open);
    let url = format!("http://127.0.0.1:{port}/");
    let _ = open
        .fetch(INSTALL, &egress_of(&outside, &url), Request { timeout: Some(Duration::from_millis(300)), ..get(url) })
        .await;
    assert_eq!(outside.reached(), 1);
}

#[tokio::test]
async fn names_that_lead_inside_reach_nothing() {
    let outside = world().await;
    let fetcher = fetcher(&outside.settings());
    let mut hosts = Vec::new();
    for (index, address) in ADDRESSES.iter().enumerate() {
        let address: IpAddr = address.parse().unwrap();
        let (alone, beside) = (format!("alone{index}.test"), format!("beside{index}.test"));
        outside.name(&alone, &[&[address]]);
        // A good one in front, and one behind.
        outside.name(&beside, &[&[GOOD.into(), address, GOOD.into()]]);
        hosts.extend([alone, beside]);
    }
    for host in &hosts {
        let egress = egress(&outside, &[host]);
        let url = format!("http://{host}:{}/", outside.port);
        let refused = fetcher.fetch(INSTALL, &egress, get(url)).await.expect_err(host);
        assert_eq!(refused.cause, Cause::AddressRefused, "{host}: {refused}");
        assert_eq!(refused.message, format!("`{host}` does not lead to the public internet"), "no address is told");
    }
    assert_eq!((outside.reached(), outside.seen().len()), (0, 0));
}

#[tokio::test]
async fn redirects_are_judged_as_what_was_asked_for() {
    let outside = Outside::new(|seen: &Seen| {
        let to = seen.path().split_once("?to=").map(|(_, to)| percent_decoded(to)).unwrap_or_default();
        redirects(302, &to)
    })
    .await;
    for (index, address) in ADDRESSES.iter().enumerate() {
        outside.name(&format!("inside{index}.test"), &[&[address.parse().unwrap()]]);
    }
    let port = outside.port;
    let mut locations: Vec<String> = HOSTS.iter().map(|host| format!("http://{host}:{port}/")).collect();
    locations.extend(HOSTS.iter().map(|host| format!("//{host}:{port}/")));
    locations.extend((0..ADDRESSES.len()).map(|index| format!("http://inside{index}.test:{port}/")));
    locations.extend(
        ["file:///etc/passwd", "gopher://127.0.0.1/", "http://good.test:1/", "http://unnamed.test/"].map(str::to_owned),
    );
    for location in &locations {
        // What a server cannot put into a header is not sent by one.
        if location.chars().any(char::is_control) {
            continue;
        }
        let mut egress = egress_of(&outside, location);
        if location.starts_with("//") {
            egress = egress_of(&outside, &format!("http:{location}"));
        }
        if location.contains("unnamed") {
            egress.allow_hosts.retain(|host| host != "unnamed.test");
        }
        egress.allow_ports.retain(|port| *port != 1);
        let mut url = Url::parse(&format!("http://good.test:{port}/")).unwrap();
        url.query_pairs_mut().append_pair("to", location);
        let fetcher = fetcher(&outside.settings());
        let refused = fetcher.fetch(INSTALL, &egress, get(url)).await.expect_err(location);
        assert!(matches!(refused.cause, Cause::RedirectRefused | Cause::AddressRefused), "{location}: {refused}");
    }
    assert_eq!(outside.reached(), 0);
    assert!(outside.seen().len() > 150, "the good server sent them there");
}

fn percent_decoded(text: &str) -> String {
    let pairs = format!("to={text}");
    url::form_urlencoded::parse(pairs.as_bytes()).next().unwrap().1.into_owned()
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_asked_once() {
    let outside = world().await;
    outside.name("moving.test", &[&[GOOD.into()], &[IpAddr::from([127, 0, 0, 1])]]);
    let url = format!("http://moving.test:{}/", outside.port);
    let answer = fetch(&outside, get(&url)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(outside.questions("moving.test"), 2, "once for each family");
    let refused = fetch(&outside, get(&url)).await.unwrap_err();
    assert_eq!(refused.cause, Cause::AddressRefused);
    assert_eq!((outside.reached(), outside.seen().len()), (0, 1));
}

#[tokio::test]
async fn what_is_allowed_is_answered() {
    let outside = world().await;
    let query = vec![("q".to_owned(), "ä&b=c d".to_owned())];
    let request = Request { query, ..get(format!("http://good.test:{}/find?a=1#part", outside.port)) };
    let answer = fetch(&outside, request).await.unwrap();
    assert_eq!(String::from_utf8(answer.body).unwrap(), "you asked for /find?a=1&q=%C3%A4%26b%3Dc+d");
    assert!(answer.headers.contains(&("x-a".to_owned(), "1, 2".to_owned())), "{:?}", answer.headers);
    let seen = outside.seen();
    assert_eq!(seen[0].header("host"), Some(format!("good.test:{}", outside.port)));
    assert!(seen[0].header("user-agent").unwrap().starts_with("rowgate/"));

    let unnamed = fetch(&outside, get(format!("http://nobody.test:{}/", outside.port))).await.unwrap_err();
    assert_eq!(unnamed.cause, Cause::HostNotAllowed);
    let egress = egress(&outside, &["nobody.test"]);
    let fetcher = fetcher(&outside.settings());
    let unknown =
        fetcher.fetch(INSTALL, &egress, get(format!("http://nobody.test:{}/", outside.port))).await.unwrap_err();
    assert_eq!(unknown.cause, Cause::Unreachable);
    let https_alone = config::Fetch { allow_http: false, ..outside.settings() };
    let refused = self::fetcher(&https_alone).fetch(INSTALL, &egress, get("http://nobody.test/")).await.unwrap_err();
    assert_eq!(refused.cause, Cause::UrlInvalid);
}

#[tokio::test]
async fn requests_say_only_what_they_may() {
    let outside = world().await;
    let url = format!("http://good.test:{}/", outside.port);
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "Keep-Alive",
        "proxy-authorization",
        "Proxy-Foo",
        "te",
        "upgrade",
        "expect",
        "Accept-Encoding",
        "metadata-flavor",
        "x-aws-ec2-metadata-token",
        "x-forwarded-for",
        "x real",
        "",
        "x\r\ny",
        "ä",
        "Sec-Fetch-Site",
    ] {
        let headers = vec![(name.to_owned(), "1".to_owned())];
        let refused = fetch(&outside, Request { headers, ..get(&url) }).await.unwrap_err();
        assert_eq!(refused.cause, Cause::RequestInvalid, "{name}");
    }
    for value in ["a\r\nx-b: 2", "a\nb", "a\0b", "\u{7f}"] {
        let headers = vec![("x-a".to_owned(), value.to_owned())];
        let refused = fetch(&outside, Request { headers, ..get(&url) }).await.unwrap_err();
        assert_eq!(refused.cause, Cause::RequestInvalid);
        assert!(!refused.message.contains("x-b"), "a value is not shown: {refused}");
    }
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let twice = vec![pair("x-a", "1"), pair("X-A", "2")];
    let many = (0..65).map(|index| pair(&format!("x-{index}"), "1")).collect();
    let long = vec![pair("x-a", &"a".repeat(17_000))];
    for headers in [twice, many, long] {
        let refused = fetch(&outside, Request { headers, ..get(&url) }).await.unwrap_err();
        assert_eq!(refused.cause, Cause::RequestInvalid);
    }
    for method in ["CONNECT", "TRACE", "GET /", "FOO"] {
        let refused = fetch(&outside, Request { method: method.to_owned(), ..get(&url) }).await.unwrap_err();
        assert_eq!(refused.cause, Cause::RequestInvalid, "{method}");
    }
    let body = Request { body: b"a".to_vec(), ..get(&url) };
    assert_eq!(fetch(&outside, body).await.unwrap_err().cause, Cause::RequestInvalid);
    let body = Request { body: vec![b'a'; (1 << 20) + 1], method: "POST".to_owned(), ..get(&url) };
    assert_eq!(fetch(&outside, body).await.unwrap_err().cause, Cause::RequestInvalid);
    assert_eq!(outside.seen().len(), 0, "each was refused before a byte was sent");

    let headers = vec![pair("Authorization", "Bearer a"), pair("Content-Type", "application/json")];
    let sent = Request { method: "patch".to_owned(), headers, body: b"{}".to_vec(), ..get(&url) };
    assert_eq!(fetch(&outside, sent).await.unwrap().status, 200);
    let seen = outside.seen().remove(0);
    assert!(seen.head.starts_with("PATCH / HTTP/1.1"), "{}", seen.head);
    assert_eq!((seen.body.as_str(), seen.header("authorization")), ("{}", Some("bearer a".to_owned())));
}

#[tokio::test]
async fn credentials_stay_with_their_host() {
    let outside = Outside::new(|seen: &Seen| {
        let port = seen.header("host").unwrap().split_once(':').unwrap().1.to_owned();
        match seen.path() {
            "/same" => redirects(307, "/end"),
            "/other" => redirects(307, &format!("http://other.test:{port}/end")),
            "/see" => redirects(303, "end"),
            "/moved" => redirects(301, "/end"),
            _ => says("200 OK", "", "end"),
        }
    })
    .await;
    let post = |path: &str| Request {
        method: "POST".to_owned(),
        headers: [("authorization", "secret"), ("cookie", "a=b"), ("x-key", "secret"), ("content-type", "text/plain")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        body: b"body".to_vec(),
        ..get(format!("http://good.test:{}{path}", outside.port))
    };
    for (path, method, body, credentials) in [
        ("/same", "POST", "body", true),
        ("/other", "POST", "body", false),
        ("/see", "GET", "", true),
        ("/moved", "GET", "", true),
    ] {
        let answer = fetch(&outside, post(path)).await.unwrap();
        assert!(answer.url.ends_with("/end"), "{}", answer.url);
        let last = outside.seen().pop().unwrap();
        assert!(last.head.starts_with(method), "{path}: {}", last.head);
        assert_eq!(last.body, body, "{path}");
        for name in ["authorization", "cookie", "x-key"] {
            assert_eq!(last.header(name).is_some(), credentials, "{path}: {name}");
        }
        assert_eq!(last.header("content-type").is_some(), method == "POST", "{path}");
    }
    let by_hand = Request { follows: false, ..post("/same") };
    assert_eq!(fetch(&outside, by_hand).await.unwrap().status, 307);
}

#[tokio::test]
async fn redirects_end() {
    let outside = Outside::new(|seen: &Seen| {
        let hop: u32 = seen.path().trim_start_matches('/').parse().unwrap_or(1);
        if hop == 0 { says("200 OK", "", "here") } else { redirects(302, &format!("/{}", hop.saturating_sub(1))) }
    })
    .await;
    let of = |path: &str| get(format!("http://good.test:{}/{path}", outside.port));
    assert_eq!(fetch(&outside, of("5")).await.unwrap().body, b"here");
    assert_eq!(outside.seen().len(), 6);
    assert_eq!(fetch(&outside, of("6")).await.unwrap_err().cause, Cause::RedirectRefused);
    let looping = Outside::new(|_: &Seen| redirects(302, "/")).await;
    let refused = fetch(&looping, get(format!("http://good.test:{}/", looping.port))).await.unwrap_err();
    assert_eq!((refused.cause, looping.seen().len()), (Cause::RedirectRefused, 6));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn an_answer_is_whole_or_refused() {
    const MAX: usize = 100_000;
    let outside = Outside::new(|seen: &Seen| {
        let head = b"HTTP/1.1 200 OK\r\n".to_vec();
        let chunked = [head.clone(), b"transfer-encoding: chunked\r\n\r\n".to_vec()].concat();
        let packed = "content-encoding: gzip\r\n";
        let cut = |mut bytes: Vec<u8>| {
            bytes.truncate(bytes.len() - 9);
            bytes
        };
        match seen.path() {
            "/full" => says("200 OK", "", vec![b'a'; MAX]),
            "/announced" => says("200 OK", "", vec![b'a'; MAX + 1]),
            "/chunks" => Behaviour::Endless(chunked, b"5\r\naaaaa\r\n".to_vec()),
            "/until-the-end" => Behaviour::Endless([head, b"\r\n".to_vec()].concat(), vec![b'a'; 1000]),
            "/early" => Behaviour::Says([head, b"content-length: 10\r\n\r\nabc".to_vec()].concat()),
            "/early-chunks" => Behaviour::Says([chunked, b"5\r\naaaaa\r\n5\r\naa".to_vec()].concat()),
            "/gzip" => says("200 OK", packed, gzip(&vec![b'a'; MAX])),
            "/bomb" => says("200 OK", packed, gzip(&vec![b'a'; 50 << 20])),
            "/two-bombs" => says("200 OK", packed, [gzip(&vec![b'a'; MAX]), gzip(b"a")].concat()),
            "/cut-gzip" => says("200 OK", packed, cut(gzip(b"some text"))),
            "/no-gzip" => says("200 OK", packed, "some text"),
            "/twice" => says("200 OK", "content-encoding: gzip, gzip\r\n", gzip(&gzip(b"a"))),
            "/brotli" => says("200 OK", "content-encoding: br\r\n", "a"),
            "/headers" => Behaviour::Endless(head, b"x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".to_vec()),
            "/one-header" => Behaviour::Endless([head, b"x-a: ".to_vec()].concat(), vec![b'a'; 100]),
            "/no-http" => Behaviour::Says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
            "/nothing" => Behaviour::Says(Vec::new()),
            "/head" => {
                Behaviour::Says([head, b"content-length: 9999999\r\ncontent-encoding: gzip\r\n\r\n".to_vec()].concat())
            }
            other => panic!("{other}"),
        }
    })
    .await;
    let settings = config::Fetch { answer_bytes_max: MAX, timeout_ms: 20_000, ..outside.settings() };
    let fetcher = fetcher(&settings);
    let egress = egress(&outside, &["good.test"]);
    let of = |path: &str| get(format!("http://good.test:{}{path}", outside.port));
    for path in ["/full", "/gzip"] {
        let answer = fetcher.fetch(INSTALL, &egress, of(path)).await.unwrap();
        assert_eq!(answer.body.len(), MAX, "{path}");
        assert!(!answer.headers.iter().any(|(name, _)| name == "content-encoding"));
    }
    for (path, cause) in [
        ("/announced", Cause::AnswerTooLarge),
        ("/chunks", Cause::AnswerTooLarge),
        ("/until-the-end", Cause::AnswerTooLarge),
        ("/bomb", Cause::AnswerTooLarge),
        ("/two-bombs", Cause::AnswerTooLarge),
        ("/early", Cause::AnswerInvalid),
        ("/early-chunks", Cause::AnswerInvalid),
        ("/cut-gzip", Cause::AnswerInvalid),
        ("/no-gzip", Cause::AnswerInvalid),
        ("/twice", Cause::AnswerInvalid),
        ("/brotli", Cause::AnswerInvalid),
        ("/headers", Cause::AnswerTooLarge),
        ("/one-header", Cause::AnswerTooLarge),
        ("/no-http", Cause::AnswerInvalid),
        ("/nothing", Cause::Unreachable),
    ] {
        let refused = fetcher.fetch(INSTALL, &egress, of(path)).await.expect_err(path);
        assert_eq!(refused.cause, cause, "{path}: {refused}");
    }
    let head = Request { method: "HEAD".to_owned(), ..of("/head") };
    assert_eq!(fetcher.fetch(INSTALL, &egress, head).await.unwrap().body, b"");
}

#[tokio::test]
async fn nothing_is_waited_for_without_end() {
    let outside = Outside::new(|seen: &Seen| match seen.path() {
        "/head" => Behaviour::Drips(b"HTTP/1.1 200 OK\r\nx-a: ".to_vec(), b"a".to_vec()),
        "/body" => Behaviour::Drips(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec(), b"a".to_vec()),
        _ => Behaviour::Hangs,
    })
    .await;
    for path in ["/head", "/body", "/"] {
        let began = Instant::now();
        let request = get(format!("http://good.test:{}{path}", outside.port));
        let request = Request { timeout: Some(Duration::from_millis(200)), ..request };
        assert_eq!(fetch(&outside, request).await.unwrap_err().cause, Cause::TimedOut, "{path}");
        assert!(began.elapsed() < Duration::from_secs(5), "{path}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_install_takes_its_share_of_places_and_no_more() {
    let outside = Outside::new(|seen: &Seen| match seen.path() {
        "/wait" => Behaviour::Hangs,
        _ => says("200 OK", "", "here"),
    })
    .await;
    let settings = config::Fetch { concurrent_max: 2, concurrent_per_install_max: 1, ..outside.settings() };
    let fetcher = Arc::new(fetcher(&settings));
    let egress = egress(&outside, &["good.test"]);
    let of = |path: &str| get(format!("http://good.test:{}{path}", outside.port));
    let waiting = |install: u128| {
        let (fetcher, egress, request) = (Arc::clone(&fetcher), egress.clone(), of("/wait"));
        tokio::spawn(async move { fetcher.fetch(Uuid::from_u128(install), &egress, request).await })
    };
    let first = waiting(1);
    while outside.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let busy = fetcher.fetch(Uuid::from_u128(1), &egress, of("/")).await.unwrap_err();
    assert_eq!(busy.cause, Cause::Busy);
    assert_eq!(fetcher.fetch(Uuid::from_u128(2), &egress, of("/")).await.unwrap().body, b"here");
    let second = waiting(2);
    while outside.seen().len() < 3 {
        tokio::task::yield_now().await;
    }
    let busy = fetcher.fetch(Uuid::from_u128(3), &egress, of("/")).await.unwrap_err();
    assert_eq!(busy.cause, Cause::Busy);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(fetcher.fetch(Uuid::from_u128(1), &egress, of("/")).await.unwrap().body, b"here");
    second.abort();
}

/// A certificate for `good.test` by an authority of the tests' own, and that authority as PEM.
fn certificate() -> (TlsAcceptor, String) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["good.test".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(server)), authority.pem())
}

#[tokio::test]
async fn a_certificate_is_good_for_its_name_alone() {
    let (acceptor, authority) = certificate();
    let downgrade = |seen: &Seen| match seen.path() {
        "/down" => redirects(302, &format!("http://{}/", seen.header("host").unwrap())),
        _ => says("200 OK", "", "here"),
    };
    let outside = Outside::secured(downgrade, Some(acceptor)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority).unwrap();
    let settings = config::Fetch { ca_file: Some(file.path().to_owned()), ..outside.settings() };
    let egress = egress(&outside, &["good.test", "other.test"]);
    let trusting = fetcher(&settings);
    let of = |host: &str, path: &str| get(format!("https://{host}:{}{path}", outside.port));
    assert_eq!(trusting.fetch(INSTALL, &egress, of("good.test", "/")).await.unwrap().body, b"here");
    let down = trusting.fetch(INSTALL, &egress, of("good.test", "/down")).await.unwrap_err();
    assert_eq!(down.cause, Cause::RedirectRefused);
    let wrong_name = trusting.fetch(INSTALL, &egress, of("other.test", "/")).await.unwrap_err();
    assert_eq!(wrong_name.cause, Cause::Unreachable);
    assert!(wrong_name.message.contains("certificate"), "{wrong_name}");
    let unknown = fetcher(&outside.settings()).fetch(INSTALL, &egress, of("good.test", "/")).await.unwrap_err();
    assert_eq!(unknown.cause, Cause::Unreachable);
    assert_eq!(outside.seen().len(), 2, "nothing was sent over a connection that is not good");

    let missing = config::Fetch { ca_file: Some("nowhere.pem".into()), ..config::Fetch::default() };
    assert!(Commons::new(&missing).unwrap_err().starts_with("fetch.ca_file nowhere.pem: "));
}

#[test]
fn each_cause_has_a_word_of_its_own() {
    let mut words: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Cause::ALL.len());
}
