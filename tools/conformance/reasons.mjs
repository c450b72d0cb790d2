// Why some tests of http-cache-tests 0.4.5 do not pass, and are not meant to. docs/http-cache.md says the same in short.
// A test of the kind "check" asks how a cache behaves, and its name is a question: not to pass is to answer no.

export default [
  {
    why: 'RFC 9111, 5.1: of a list in Age the first member counts, and what is no number is ignored. The tests are older, and want the response to be stale.',
    tests: [
      'age-parse-nonnumeric', 'age-parse-negative', 'age-parse-float', 'age-parse-prefix-twoline', 'age-parse-dup-0', 'age-parse-dup-0-twoline',
      'age-parse-dup-old', 'age-parse-parameter', 'age-parse-numeric-parameter'
    ]
  },
  {
    why: 'The stale response is not served, but an error of the proxy is, since the origin breaks off; the test takes any answer that is not the origin\'s for one of the cache. Our own tests show what it asks for.',
    tests: ['stale-close-must-revalidate', 'stale-close-proxy-revalidate', 'stale-close-no-cache', 'stale-close-s-maxage=2']
  },
  {
    why: 'Responses that set cookies are stored only if the operator names the cookies: what one client is given is not for others.',
    tests: ['headers-store-Set-Cookie', '304-etag-update-response-Set-Cookie', 'other-set-cookie']
  },
  {
    why: 'The origin confirms by 304 an entity tag that it was not asked about. RFC 9111, 4.3.4: such a response must not be used to update what is stored; so it is fetched anew.',
    tests: ['304-etag-update-response-ETag']
  },
  {
    why: 'A transfer coding that does not exist: httpx, by which the proxy reaches its upstream, does not read the response.',
    tests: ['headers-store-Transfer-Encoding']
  },
  {
    why: 'Surrogate-Control is read as RFC 9213 has such fields: names are lower case, parameters say nothing, and no capabilities are announced that an origin could name.',
    tests: ['surrogate-fresh-cc-nostore', 'surrogate-max-age-me-target', 'surrogate-max-age-case-insensitive', 'surrogate-append-capabilities']
  },
  {
    why: 'No heuristic by Last-Modified: for how long a response is fresh that does not say it, is what the operator has said (default_ttl).',
    tests: [
      'heuristic-200-cached', 'heuristic-203-cached', 'heuristic-204-cached', 'heuristic-404-cached', 'heuristic-405-cached', 'heuristic-410-cached',
      'heuristic-414-cached', 'heuristic-501-cached', 'heuristic-599-cached', 'heuristic-delta-5', 'heuristic-delta-10', 'heuristic-delta-30',
      'heuristic-delta-60', 'heuristic-delta-300', 'heuristic-delta-600', 'heuristic-delta-1200', 'heuristic-delta-1800',
      'heuristic-delta-3600', 'heuristic-delta-43200', 'heuristic-delta-86400', 'other-heuristic-content-disposition-attachment',
      'pragma-response-no-cache-heuristic'
    ]
  },
  {
    why: 'Parts are cut from whole responses that are stored; a part that comes is passed on and not stored (RFC 9111, 3.3 and 3.4: may).',
    tests: [
      'partial-store-partial-reuse-partial', 'partial-store-partial-reuse-partial-absent', 'partial-store-partial-reuse-partial-byterange',
      'partial-store-partial-reuse-partial-suffix', 'partial-store-partial-complete'
    ]
  },
  {
    why: 'Only answers to GET and HEAD are stored.',
    tests: ['method-POST']
  },
  {
    why: 'RFC 9111, 4.3.2: without Last-Modified the Date is compared with If-Modified-Since. It is later, so the whole is sent; the test wants a 304.',
    tests: ['conditional-lm-fresh-no-lm']
  },
  {
    why: 'Of fields whose syntax is not known nothing is changed before they are compared, and the order of languages may be a preference.',
    tests: ['vary-normalise-space', 'vary-normalise-lang-order', 'vary-normalise-lang-select']
  },
  {
    why: 'RFC 9111, 4.2.1: a lifetime that cannot be read has ended, and of two the first counts.',
    tests: [
      'freshness-max-age-decimal-zero', 'freshness-max-age-decimal-five', 'freshness-max-age-a100', 'freshness-max-age-100a',
      'freshness-max-age-two-stale-fresh-sameline', 'freshness-max-age-two-stale-fresh-sepline', 'freshness-expires-32bit',
      'freshness-expires-far-future', 'freshness-expires-wrong-case-weekday', 'freshness-expires-wrong-case-month',
      'freshness-expires-wrong-case-tz', 'freshness-expires-invalid-utc', 'freshness-expires-invalid-aest',
      'freshness-expires-invalid-2-digit-year', 'freshness-expires-invalid-no-comma', 'freshness-expires-invalid-multiple-spaces',
      'freshness-expires-invalid-date-dashes', 'freshness-expires-invalid-time-periods', 'freshness-expires-invalid-1-digit-hour',
      'freshness-expires-invalid-multiple-lines'
    ]
  },
  {
    why: 'An entity tag that is not written as one matches none, and is passed on as it is.',
    tests: [
      'conditional-etag-quoted-respond-unquoted', 'conditional-etag-unquoted-respond-quoted', 'conditional-etag-unquoted-respond-unquoted',
      'conditional-etag-weak-respond-backslash', 'conditional-etag-weak-respond-lowercase', 'conditional-etag-weak-respond-omit-slash',
      'conditional-etag-strong-generate-unquoted'
    ]
  },
  {
    why: 'The suite sends the entity tag in UTF-8 from its origin and in Latin-1 from its client: these are different ones.',
    tests: ['conditional-etag-strong-respond-obs-text']
  },
  {
    why: 'A client\'s own condition is kept from the origin when nothing is stored, so that there is something to store; the client is answered with 304 all the same.',
    tests: ['conditional-etag-forward', 'conditional-etag-forward-unquoted']
  },
  {
    why: 'A response that is not stored is not asked about by the entity tags of other variants.',
    tests: ['conditional-etag-vary-headers-mismatch']
  },
  {
    why: 'RFC 9111, 4.3.5: a HEAD updates what is stored if it shows a validator of it. Without one, as here, nothing says that the content is the same, and what is stored is ended.',
    tests: ['head-200-retain', 'head-200-freshness-update', 'head-200-update', 'head-410-update']
  },
  {
    why: 'no-cache with names of fields is taken for no-cache (RFC 9111, 5.2.2.4).',
    tests: ['headers-omit-headers-listed-in-Cache-Control-no-cache-single', 'headers-omit-headers-listed-in-Cache-Control-no-cache']
  },
  {
    why: 'What is stale when it comes and cannot be validated is not stored, whatever a later request would take.',
    tests: ['ccreq-max-stale-age']
  },
  {
    why: 'RFC 9111, 5.4: Pragma of a request counts as no-cache where there is no Cache-Control.',
    tests: ['pragma-request-no-cache']
  },
  {
    why: 'Warning is obsolete (RFC 9111, 5.5).',
    tests: ['stale-warning-stored', 'stale-warning-become']
  }
]
