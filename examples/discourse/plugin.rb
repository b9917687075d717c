# frozen_string_literal: true

# name: moderation-prescreen
# about: Asks a moderation service before a post appears
# version: 0.1
# license: Apache-2.0
#
# Set for the container (app.yml, env): MODERATION_URL; MODERATION_KEY if the service asks for one; MODERATION_TIMEOUT
# in seconds.

require "json"
require "net/http"
require "securerandom"

module ModerationPrescreen
  URL = ENV.fetch("MODERATION_URL", "http://127.0.0.1:8000")
  TIMEOUT = ENV.fetch("MODERATION_TIMEOUT", "2").to_f

  # The decision, or nil when no answer came.
  def self.decide(text)
    uri = URI("#{URL}/v1/decisions")
    headers = { "Content-Type" => "application/json" }
    headers["Authorization"] = "Bearer #{ENV["MODERATION_KEY"]}" if ENV["MODERATION_KEY"]
    body = { id: SecureRandom.uuid, text: text }.to_json
    options = { use_ssl: uri.scheme == "https", open_timeout: 1, read_timeout: TIMEOUT, max_retries: 0 }
    reply = Net::HTTP.start(uri.host, uri.port, **options) { |http| http.post(uri.path, body, headers) }
    reply.is_a?(Net::HTTPSuccess) ? JSON.parse(reply.body) : nil
  rescue StandardError => error
    warn "moderation-prescreen: #{error.class}" # Never the post's text.
    nil
  end

  # What NewPostManager is to do; nil lets the post go on.
  def self.handle(manager)
    return nil if manager.user.staff?
    decision = decide(manager.args[:raw].to_s)
    case decision && decision["verdict"]
    when "approve"
      nil
    when "reject"
      result = NewPostResult.new(:created_post, false)
      result.errors.add(:base, decision["reason"])
      result
    else
      manager.enqueue("moderation_unavailable") # A moderator looks: it fails closed.
    end
  end
end

after_initialize { NewPostManager.add_handler(50) { |manager| ModerationPrescreen.handle(manager) } }
