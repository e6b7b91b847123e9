//! Traces: not of the configuration file, but of the variables that every OpenTelemetry exporter
//! reads. Without an endpoint there are none, and nothing is paid for them.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use crate::config::Hidden;

/// Where traces go, and which calls have one.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// Of OTLP over HTTP, with its path.
    pub endpoint: Url,
    /// Sent with each export; they hold the collector's credentials.
    pub headers: Vec<(String, Hidden)>,
    pub timeout: Duration,
    /// Between two exports.
    pub delay: Duration,
    /// Spans that wait; more are dropped.
    pub queue_max: usize,
    /// Spans in one export.
    pub batch_max: usize,
    pub sampler: Sampler,
    /// What this gateway is, such as `service.name`.
    pub resource: Vec<(String, String)>,
}

/// Which calls have a trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Of those that are nobody else's: none for 0, all for 1.
    pub ratio: f64,
    /// Whether a caller's own decision goes before.
    pub follows_caller: bool,
}

impl Traces {
    /// What `environment` asks for; pushes what it asks for in vain.
    pub fn of(environment: &BTreeMap<String, String>, reasons: &mut Vec<String>) -> Option<Traces> {
        let set = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none")
        {
            return None;
        }
        let own = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(str::to_owned);
        let shared =
            || set("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        let written = own.or_else(shared)?;
        let endpoint = Url::parse(&written).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(endpoint) = endpoint else {
            reasons.push(
                "OTEL_EXPORTER_OTLP_ENDPOINT: expected an http or https URL, such as http://127.0.0.1:4318".to_owned(),
            );
            return None;
        };
        let protocol = set("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| set("OTEL_EXPORTER_OTLP_PROTOCOL"));
        if let Some(protocol) = protocol.filter(|protocol| *protocol != "http/protobuf") {
            reasons.push(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL: `{protocol}` is not spoken here; use `http/protobuf`, which collectors take on port 4318"
            ));
        }
        let mut number = |name: &str, default: u64| match set(name).map(str::parse::<u64>) {
            None => default,
            Some(Ok(value)) if value > 0 => value,
            Some(_) => {
                reasons.push(format!("{name}: expected a number of at least 1"));
                default
            }
        };
        let timeout = Duration::from_millis(number("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000));
        let delay = Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY", 5_000));
        let queue_max = usize::try_from(number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048)).unwrap_or(2_048);
        let batch_max = usize::try_from(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)).unwrap_or(512);
        let sampler = Sampler::of(set("OTEL_TRACES_SAMPLER"), set("OTEL_TRACES_SAMPLER_ARG"), reasons);
        let headers = set("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| set("OTEL_EXPORTER_OTLP_HEADERS"));
        let headers = pairs(headers.unwrap_or_default()).map(|(name, value)| (name, Hidden::new(value))).collect();
        let mut resource: Vec<(String, String)> = pairs(set("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default()).collect();
        if let Some(name) = set("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), name.to_owned()));
        } else if !resource.iter().any(|(key, _)| key == "service.name") {
            resource.push(("service.name".to_owned(), "rowgate".to_owned()));
        }
        resource.push(("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        Some(Traces { endpoint, headers, timeout, delay, queue_max, batch_max, sampler, resource })
    }
}

impl Sampler {
    fn of(name: Option<&str>, argument: Option<&str>, reasons: &mut Vec<String>) -> Sampler {
        let mut ratio = || match argument.map(str::parse::<f64>) {
            None => 1.0,
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            Some(_) => {
                reasons.push("OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1".to_owned());
                1.0
            }
        };
        let (ratio, follows_caller) = match name.unwrap_or("parentbased_always_on") {
            "always_on" => (1.0, false),
            "always_off" => (0.0, false),
            "traceidratio" => (ratio(), false),
            "parentbased_always_on" => (1.0, true),
            "parentbased_always_off" => (0.0, true),
            "parentbased_traceidratio" => (ratio(), true),
            other => {
                reasons.push(format!(
                    "OTEL_TRACES_SAMPLER: `{other}` is unknown; expected `always_on`, `always_off`, `traceidratio`, or one \
                     of these behind `parentbased_`"
                ));
                (1.0, true)
            }
        };
        Sampler { ratio, follows_caller }
    }
}

/// `a=b,c=d`, with values in percent signs.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(',').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decoded(value.trim());
        (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value))
    })
}

fn percent_decoded(text: &str) -> String {
    // As a form would have it, but for `+`, which stands for itself here.
    let text = text.replace('+', "%2B");
    url::form_urlencoded::parse(format!("v={}", text.replace('&', "%26")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Option<Traces>, Vec<String>) {
        let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reasons = Vec::new();
        (Traces::of(&environment, &mut reasons), reasons)
    }

    #[test]
    fn without_an_endpoint_there_are_none() {
        assert_eq!(read(&[("OTEL_SERVICE_NAME", "a"), ("OTEL_TRACES_SAMPLER", "zzz")]), (None, Vec::new()));
        let off = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"), ("OTEL_TRACES_EXPORTER", "none")];
        assert_eq!(read(&off), (None, Vec::new()));
    }

    #[test]
    fn the_usual_variables_are_read() {
        let (traces, reasons) = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a+b%3D=, x=y"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other"),
            ("OTEL_SERVICE_NAME", "gateways"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);
        assert_eq!(reasons, Vec::<String>::new());
        let traces = traces.unwrap();
        assert_eq!(traces.endpoint.as_str(), "http://collector:4318/v1/traces");
        assert_eq!(traces.headers[0], ("authorization".to_owned(), Hidden::new("Bearer a+b==".to_owned())));
        assert_eq!(traces.headers[1].1, Hidden::new("y".to_owned()));
        assert!(!format!("{traces:?}").contains("Bearer"));
        assert_eq!(traces.sampler, Sampler { ratio: 0.25, follows_caller: true });
        let names: Vec<(&str, &str)> =
            traces.resource.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(names[..2], [("deployment.environment.name", "test"), ("service.name", "gateways")]);
    }

    #[test]
    fn every_wrong_one_is_named() {
        let (_, reasons) = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
        ]);
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")]).1.len(), 1);
    }
}
