<?php
// The parts of WordPress that examples/wordpress calls, then one comment after another through its hooks.
// php wordpress.php URL KEY TEXT...; prints a line of JSON for each text.

error_reporting(E_ALL);
set_error_handler(function ($level, $message, $file, $line) {
    throw new ErrorException($message, 0, $level, $file, $line);
});

class WP_Error {
    public function __construct(public string $code = '', public string $message = '') {
    }
}

$hooks = $meta = [];
$ids = 0;
function add_filter(string $hook, string $function, int $priority = 10, int $arguments = 1): void {
    global $hooks;
    $hooks[$hook] = [$function, $arguments];
}
function add_action(string $hook, string $function, int $priority = 10, int $arguments = 1): void {
    add_filter($hook, $function, $priority, $arguments);
}
function run_hook(string $hook, ...$given) {
    global $hooks;
    [$function, $arguments] = $hooks[$hook];
    return $function(...array_slice($given, 0, $arguments));
}
function is_wp_error($thing): bool {
    return $thing instanceof WP_Error;
}
function wp_json_encode($data): string {
    return json_encode($data);
}
function wp_unslash(string $text): string {
    return stripslashes($text);
}
function wp_generate_uuid4(): string {
    global $ids;
    return 'wordpress-' . ++$ids;
}
function wp_remote_post(string $url, array $options) {
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => array_map(fn($name, $value) => "$name: $value", array_keys($options['headers']), $options['headers']),
        'content' => $options['body'],
        'timeout' => 10 * $options['timeout'],  // A machine that runs tests may be slow.
        'follow_location' => 0,
        'ignore_errors' => true,
    ]]);
    try {
        $body = file_get_contents($url, false, $context);
    } catch (ErrorException $error) {
        return new WP_Error('http_request_failed', $error->getMessage());
    }
    return ['body' => $body, 'status' => (int) explode(' ', $http_response_header[0])[1]];
}
function wp_remote_retrieve_response_code(array $response): int {
    return $response['status'];
}
function wp_remote_retrieve_body(array $response): string {
    return $response['body'];
}
function add_comment_meta(int $comment, string $key, string $value, bool $unique): void {
    global $meta;
    $meta[$comment][$key] = $value;
}
function get_comment_meta(int $comment, string $key, bool $single): string {
    global $meta;
    return $meta[$comment][$key] ?? '';
}
function current_user_can(string $capability): bool {
    return $capability === 'moderate_comments';
}

define('MODERATION_URL', $argv[1]);
if ($argv[2] !== '') {
    define('MODERATION_KEY', $argv[2]);
}
require __DIR__ . '/../../examples/wordpress/moderation-prescreen.php';

foreach (array_slice($argv, 3) as $number => $text) {
    $comment = ['comment_content' => addslashes($text)];
    $approved = run_hook('pre_comment_approved', 1, $comment);
    run_hook('comment_post', $number, $approved, $comment);
    echo json_encode(['approved' => $approved, 'id' => get_comment_meta($number, 'moderation_id', true)]), "\n";
}
// What another plugin has settled stays; a moderator takes the first comment the other way.
assert(run_hook('pre_comment_approved', 'spam', ['comment_content' => 'hello']) === 'spam');
$first = (object) ['comment_ID' => 0];
run_hook('transition_comment_status', 'approved', 'trash', $first);
