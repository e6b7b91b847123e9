//! The operators' page: three files of ours, a session in a cookie, and nothing from anywhere else.
//!
//! The page itself holds no data and asks for it by `/admin/v1`, as everybody does. Who signs in by an
//! operator's key is given the key back in a cookie that no script reads and no other site sends; it is
//! looked up anew at each request, so a key that is revoked has no session.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
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

/// Everything comes from here, and nothing may frame the page or run in it that is not its own.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/admin", get(async || Redirect::permanent("/admin/")))
        .route("/admin/", get(async || file("text/html; charset=utf-8", include_str!("page/index.html"))))
        .route("/admin/page.css", get(async || file("text/css; charset=utf-8", include_str!("page/page.css"))))
        .route("/admin/page.js", get(async || file("text/javascript; charset=utf-8", include_str!("page/page.js"))))
        .route(SESSION, post(sign_in).delete(sign_out))
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
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some() && origin == text(header::HOST)
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
            with_cookie(response, &key, SESSION_S)
        }
        Err(failure) => respond(StatusCode::OK, SESSION, &headers, Err(failure)),
    }
}

async fn sign_out(headers: HeaderMap) -> Response<Body> {
    with_cookie(respond(StatusCode::OK, SESSION, &headers, Ok(json!({}))), "", 0)
}

/// INVARIANT: `key` was verified, so it is of letters, digits, `-` and `_`, or it is empty.
fn with_cookie(mut response: Response<Body>, key: &str, seconds: u32) -> Response<Body> {
    let cookie = format!("{COOKIE}={key}; Path=/admin; Max-Age={seconds}; HttpOnly; SameSite=Strict");
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
    // Another version of the gateway has another page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
