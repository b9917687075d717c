<?php
/**
 * Plugin Name: Moderation pre-screening
 * Description: Asks a moderation service before a comment appears. Set in wp-config.php:
 *              define('MODERATION_URL', 'http://127.0.0.1:8000'); define('MODERATION_KEY', 'mod_...');
 * License:     Apache-2.0
 */

/** Asks the service; null when no answer came. */
function moderation_post(string $path, array $body): ?array {
    $headers = ['Content-Type' => 'application/json'];
    if (defined('MODERATION_KEY')) {
        $headers['Authorization'] = 'Bearer ' . MODERATION_KEY;
    }
    $response = wp_remote_post(MODERATION_URL . $path, [
        'headers' => $headers,
        'body' => wp_json_encode($body),
        'timeout' => 2,
        'redirection' => 0,
    ]);
    $failed = is_wp_error($response) || wp_remote_retrieve_response_code($response) >= 300;
    $reply = $failed ? null : json_decode(wp_remote_retrieve_body($response), true);
    return is_array($reply) ? $reply : null;
}

/** 1 publishes, 0 holds for a moderator, 'trash' hides. Without an answer the comment is held: it fails closed. */
function moderation_approved($approved, array $comment) {
    global $moderation_id;
    $moderation_id = null;
    if (is_wp_error($approved) || in_array($approved, ['spam', 'trash'], true)) {
        return $approved;
    }
    $id = wp_generate_uuid4();
    $decision = moderation_post('/v1/decisions', ['id' => $id, 'text' => wp_unslash($comment['comment_content'])]);
    $verdict = $decision['verdict'] ?? null;
    if ($verdict !== null) {
        $moderation_id = $id;
    }
    // An approved comment goes on as WordPress's own settings say, which may hold it.
    return ['approve' => $approved, 'reject' => 'trash'][(string) $verdict] ?? 0;
}
add_filter('pre_comment_approved', 'moderation_approved', 20, 2);

/** Keeps the decision's id with the comment. */
function moderation_remember($comment_id): void {
    global $moderation_id;
    if ($moderation_id !== null) {
        add_comment_meta($comment_id, 'moderation_id', $moderation_id, true);
    }
}
add_action('comment_post', 'moderation_remember');

/** Tells the service when a moderator decides otherwise. */
function moderation_overruled(string $new, string $old, $comment): void {
    $verdict = ['approved' => 'approve', 'spam' => 'reject', 'trash' => 'reject'][$new] ?? null;
    $id = get_comment_meta($comment->comment_ID, 'moderation_id', true);
    if ($id && $verdict !== null && current_user_can('moderate_comments')) {
        moderation_post('/v1/decisions/' . rawurlencode($id) . '/feedback', ['verdict' => $verdict]);
    }
}
add_action('transition_comment_status', 'moderation_overruled', 10, 3);
