//! The operators' page: a few files of ours, a session in a cookie, and nothing from anywhere else.
//!
//! The page itself holds no data and asks for it by `/admin/v1`, as everybody does. Who signs in by an
//! operator's key is given the key back in a cookie that no script reads and no other site sends; it is
//! looked up anew at each request, so a key that is revoked has no session.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::response::Redirect;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::admin::Admin;
use crate::admin::api::{read, respond, verified};
use crate::error::{Code, Failure};

const COOKIE: &str = "rowgate_admin";
/// A working day.
const SESSION_S: u32 = 43_200;
const SESSION: &str = "/admin/session";

/// Everything comes from here, nothing may frame the page, and no text becomes markup or a script: not even
/// the page's own script may make any of it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [(&str, &str, &str); 11] = [
    ("/admin/", HTML, include_str!("page/index.html")),
    ("/admin/page.css", CSS, include_str!("page/page.css")),
    ("/admin/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/admin/page.js", SCRIPT, include_str!("page/page.js")),
    ("/admin/parts.js", SCRIPT, include_str!("page/parts.js")),
    ("/admin/charts.js", SCRIPT, include_str!("page/charts.js")),
    ("/admin/traffic.js", SCRIPT, include_str!("page/traffic.js")),
    ("/admin/functions.js", SCRIPT, include_str!("page/functions.js")),
    ("/admin/logs.js", SCRIPT, include_str!("page/logs.js")),
    ("/admin/installs.js", SCRIPT, include_str!("page/installs.js")),
    ("/admin/limits.js", SCRIPT, include_str!("page/limits.js")),
];

pub(super) fn router() -> Router<Admin> {
    let page = FILES.into_iter().fold(Router::new(), |router, (path, media_type, text)| {
        router.route(path, get(async move || file(media_type, text)))
    });
    page.route("/admin", get(async || Redirect::permanent("/admin/"))).route(SESSION, post(sign_in).delete(sign_out))
}

/// What `Authorization` would say, of a request that comes with a session. One that changes something
/// must come from the page: a browser says from where.
pub(super) fn session(method: &Method, headers: &HeaderMap) -> Option<Vec<u8>> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let key = pairs.into_iter().find_map(|(name, value)| (name == COOKIE).then_some(value))?;
    (method.is_safe() || is_same_origin(headers)).then(|| format!("Bearer {key}").into_bytes())
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    host.is_some() && origin(headers).map(|(_, of)| of) == host
}

/// The scheme and the host that a browser says the request is from.
fn origin(headers: &HeaderMap) -> Option<(&str, &str)> {
    headers.get(header::ORIGIN)?.to_str().ok()?.split_once("://")
}

/// The body of `POST /admin/session`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    key: String,
}

async fn sign_in(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = read(body).and_then(|SignIn { key }| {
        if !is_same_origin(&headers) {
            return Err(Failure::new(Code::AccessDenied, "sign in from the page itself"));
        }
        let operator = verified(&admin.gateway.snapshot(), Some(format!("Bearer {key}").as_bytes()))?;
        Ok((key, operator))
    });
    match done {
        Ok((key, operator)) => {
            let response = respond(StatusCode::OK, SESSION, &headers, Ok(json!({ "operator": operator.0 })));
            with_cookie(response, &headers, &key, SESSION_S)
        }
        Err(failure) => respond(StatusCode::OK, SESSION, &headers, Err(failure)),
    }
}

async fn sign_out(headers: HeaderMap) -> Response<Body> {
    with_cookie(respond(StatusCode::OK, SESSION, &headers, Ok(json!({}))), &headers, "", 0)
}

/// INVARIANT: `key` was verified, so it is of letters, digits, `-` and `_`, or it is empty.
fn with_cookie(mut response: Response<Body>, headers: &HeaderMap, key: &str, seconds: u32) -> Response<Body> {
    // On loopback there is no TLS, and not every browser would send it back there.
    let secure = if origin(headers).is_some_and(|(scheme, _)| scheme == "https") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={key}; Path=/admin; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn file(media_type: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    // Another version of the gateway has another page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
