//! What a script's query may call and name: closed lists, of what reads no table by its argument,
//! runs no text, changes nothing and makes nothing large of nothing.

use sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo,
};

use crate::plan::foreign::query::single;
use crate::plan::foreign::{Refused, invalid, not_allowed};

/// Functions that are called by their name alone.
pub(super) const WORDS: &str = "\
    current_date current_time current_timestamp localtime localtimestamp";

/// Functions that make rows, where a table may stand.
pub(super) const TABLE_FUNCTIONS: &str = "\
    generate_series generate_subscripts json_array_elements json_array_elements_text json_each \
    json_each_text json_object_keys jsonb_array_elements jsonb_array_elements_text jsonb_each \
    jsonb_each_text jsonb_object_keys jsonb_path_query regexp_matches regexp_split_to_table \
    string_to_table unnest";

/// All others. `repeat`, `lpad` and `rpad` are not here: one call of them makes a gigabyte.
pub(super) const FUNCTIONS: &str = "\
    abs acos age array_agg array_append array_cat array_dims array_length array_lower array_ndims \
    array_position array_positions array_prepend array_remove array_replace array_to_json \
    array_to_string array_upper ascii asin atan atan2 avg bit_and bit_length bit_or bool_and bool_or \
    btrim cardinality cbrt ceil ceiling char_length character_length chr clock_timestamp coalesce concat \
    concat_ws corr cos cot count covar_pop covar_samp cume_dist date_bin date_part date_trunc decode \
    degrees dense_rank div encode every exp first_value floor gcd generate_series greatest grouping \
    initcap isfinite json_agg json_array_elements json_array_elements_text json_array_length \
    json_build_array json_build_object json_each json_extract_path json_extract_path_text json_object \
    json_object_agg json_object_keys json_strip_nulls json_typeof jsonb_agg jsonb_array_elements \
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each \
    jsonb_extract_path jsonb_extract_path_text jsonb_object jsonb_object_agg jsonb_object_keys \
    jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first \
    jsonb_pretty jsonb_strip_nulls jsonb_typeof justify_days justify_hours justify_interval lag \
    last_value lcm lead least left length ln log log10 lower ltrim make_date make_interval make_time \
    make_timestamp make_timestamptz max md5 min mod mode normalize now nth_value ntile nullif \
    num_nonnulls num_nulls numnode octet_length percent_rank percentile_cont percentile_disc \
    phraseto_tsquery pi plainto_tsquery position pow power radians random rank regexp_count regexp_instr \
    regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table \
    regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy \
    regr_syy replace reverse right round row row_number row_to_json rtrim scale sha224 sha256 sha384 \
    sha512 sign sin split_part sqrt starts_with statement_timestamp stddev stddev_pop stddev_samp \
    string_agg string_to_array string_to_table strip strpos substr substring sum tan timezone to_char \
    to_date to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector transaction_timestamp \
    translate trim trim_array trim_scale trunc ts_headline ts_rank ts_rank_cd unnest upper var_pop \
    var_samp variance websearch_to_tsquery width_bucket";

/// Parts of a time.
const FIELDS: &str = "\
    century day decade dow doy epoch hour isodow isoyear julian microsecond microseconds millennium \
    millisecond milliseconds minute month quarter second timezone week year";

/// The function of `list` that is called.
pub(super) fn function(name: &ObjectName, list: &'static str) -> Result<&'static str, Refused> {
    let written = &single(name)?.value;
    let found = list.split_ascii_whitespace().find(|known| known.eq_ignore_ascii_case(written));
    found.ok_or_else(|| {
        let shown: String = written.chars().take(63).collect();
        not_allowed(format!("`{shown}` cannot be called here"))
    })
}

pub(super) fn field(written: &str) -> Result<&'static str, Refused> {
    let found = FIELDS.split_ascii_whitespace().find(|known| known.eq_ignore_ascii_case(written));
    found.ok_or_else(|| invalid("EXTRACT takes a part such as `year`, `day` or `epoch`".to_owned()))
}

pub(super) fn binary(operator: &BinaryOperator) -> Option<&'static str> {
    Some(match operator {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::PGExp => "^",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::Gt => ">",
        BinaryOperator::Lt => "<",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::And => "AND",
        BinaryOperator::Or => "OR",
        BinaryOperator::BitwiseOr => "|",
        BinaryOperator::BitwiseAnd => "&",
        BinaryOperator::PGBitwiseXor => "#",
        BinaryOperator::PGBitwiseShiftLeft => "<<",
        BinaryOperator::PGBitwiseShiftRight => ">>",
        BinaryOperator::PGOverlap => "&&",
        BinaryOperator::PGRegexMatch => "~",
        BinaryOperator::PGRegexIMatch => "~*",
        BinaryOperator::PGRegexNotMatch => "!~",
        BinaryOperator::PGRegexNotIMatch => "!~*",
        BinaryOperator::PGLikeMatch => "~~",
        BinaryOperator::PGILikeMatch => "~~*",
        BinaryOperator::PGNotLikeMatch => "!~~",
        BinaryOperator::PGNotILikeMatch => "!~~*",
        BinaryOperator::PGStartsWith => "^@",
        BinaryOperator::Arrow => "->",
        BinaryOperator::LongArrow => "->>",
        BinaryOperator::HashArrow => "#>",
        BinaryOperator::HashLongArrow => "#>>",
        BinaryOperator::AtAt => "@@",
        BinaryOperator::AtArrow => "@>",
        BinaryOperator::ArrowAt => "<@",
        BinaryOperator::HashMinus => "#-",
        BinaryOperator::AtQuestion => "@?",
        BinaryOperator::Question => "?",
        BinaryOperator::QuestionAnd => "?&",
        BinaryOperator::QuestionPipe => "?|",
        _ => return None,
    })
}

/// The type as Postgres calls it; none of them names anything of a catalog.
pub(super) fn type_name(data_type: &DataType) -> Result<String, Refused> {
    Ok(match data_type {
        DataType::Text => "text".to_owned(),
        DataType::Varchar(length) | DataType::CharacterVarying(length) => match length {
            None => "text".to_owned(),
            Some(CharacterLength::IntegerLength { length, unit: None }) => format!("varchar({length})"),
            Some(_) => return Err(unknown(data_type)),
        },
        DataType::Uuid => "uuid".to_owned(),
        DataType::Numeric(info) | DataType::Decimal(info) => match info {
            ExactNumberInfo::None => "numeric".to_owned(),
            ExactNumberInfo::Precision(precision) => format!("numeric({precision})"),
            ExactNumberInfo::PrecisionAndScale(precision, scale) => format!("numeric({precision}, {scale})"),
        },
        DataType::SmallInt(None) | DataType::Int2(None) => "int2".to_owned(),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => "int4".to_owned(),
        DataType::BigInt(None) | DataType::Int8(None) => "int8".to_owned(),
        DataType::Real | DataType::Float4 => "float4".to_owned(),
        DataType::DoublePrecision | DataType::Float8 | DataType::Float(ExactNumberInfo::None) => "float8".to_owned(),
        DataType::Bool | DataType::Boolean => "bool".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => "time".to_owned(),
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => "timestamp".to_owned(),
        DataType::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => "timestamptz".to_owned(),
        DataType::Interval { fields: None, precision: None } => "interval".to_owned(),
        DataType::JSON => "json".to_owned(),
        DataType::JSONB => "jsonb".to_owned(),
        DataType::Bytea => "bytea".to_owned(),
        DataType::TsVector => "tsvector".to_owned(),
        DataType::TsQuery => "tsquery".to_owned(),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, None)) => format!("{}[]", type_name(element)?),
        _ => return Err(unknown(data_type)),
    })
}

fn unknown(data_type: &DataType) -> Refused {
    let shown: String = data_type.to_string().chars().take(63).collect();
    not_allowed(format!("`{shown}` is no type that values can be cast to here"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn lists_are_sorted_and_name_nothing_that_is_dangerous() {
        let names = |list: &'static str| list.split_ascii_whitespace();
        for list in [FUNCTIONS, TABLE_FUNCTIONS, WORDS, FIELDS] {
            assert!(names(list).is_sorted_by(|one, next| one < next), "{list:?}");
        }
        for name in [
            "set_config",
            "current_setting",
            "pg_sleep",
            "query_to_xml",
            "table_to_xml",
            "cursor_to_xml",
            "ts_stat",
            "lo_create",
            "pg_read_file",
            "dblink",
            "nextval",
            "setval",
            "currval",
            "repeat",
            "lpad",
            "rpad",
            "format",
            "pg_advisory_lock",
            "pg_notify",
            "has_table_privilege",
            "to_regclass",
            "regclass",
            "version",
            "txid_current",
        ] {
            assert!(!names(FUNCTIONS).chain(names(TABLE_FUNCTIONS)).any(|known| known == name), "{name}");
        }
    }
}
