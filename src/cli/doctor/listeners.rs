//! A gateway that runs, where its addresses are given: whether it answers, and whether it is ready.

use std::time::Duration;

use reqwest::{Client, StatusCode, Url};

use crate::cli::doctor::Report;

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn examine(report: &mut Report, url: Option<&str>, admin_url: Option<&str>) {
    if url.is_none() && admin_url.is_none() {
        return;
    }
    let client = match Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build() {
        Ok(client) => client,
        Err(error) => {
            report.error("listener_unreachable", "listeners", error.to_string(), "look again on another machine");
            return;
        }
    };
    if let Some(url) = url {
        // Any answer at all is one of whoever listens there; a gateway's has this header.
        match ask(&client, url, &["v1", "extension-functions", "doctor"]).await {
            Ok((_, true)) => {}
            Ok((status, false)) => {
                let message = format!("who answers at {url} is no gateway: {status} without `X-Request-Id`");
                let hint = "check the URL, and that proxies pass the gateway's headers on";
                report.error("listener_is_another", "listeners", message, hint);
            }
            Err(reason) => unreachable(report, "public", url, &reason),
        }
    }
    if let Some(url) = admin_url {
        match ask(&client, url, &["readyz"]).await {
            Ok((status, _)) if status.is_success() => {}
            Ok((status, _)) => {
                let message = format!("the gateway at {url} is not ready ({status}): a worker lacks its connections");
                report.error("gateway_not_ready", "listeners", message, "look into its log for why it has none");
            }
            Err(reason) => unreachable(report, "admin", url, &reason),
        }
    }
}

fn unreachable(report: &mut Report, which: &str, url: &str, reason: &str) {
    let message = format!("the {which} listener at {url} does not answer: {reason}");
    report.error("listener_unreachable", "listeners", message, "check the URL, and that the gateway runs");
}

/// The status, and whether the answer has a gateway's header.
async fn ask(client: &Client, base: &str, path: &[&str]) -> Result<(StatusCode, bool), String> {
    let mut url = Url::parse(base).map_err(|error| error.to_string())?;
    match url.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().extend(path),
        Err(()) => return Err("expected one such as http://127.0.0.1:8081".to_owned()),
    };
    let answer = client.get(url).send().await.map_err(|error| crate::db::sqlstate::chain(&error.without_url()))?;
    Ok((answer.status(), answer.headers().contains_key("x-request-id")))
}
