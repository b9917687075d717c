# frozen_string_literal: true

# The parts of Discourse that examples/discourse calls, then one post after another through its handler.
# ruby discourse.rb TEXT...; prints a line of JSON for each text, and one for a post of the staff.

require "json"

class NewPostResult
  attr_reader :success, :errors

  def initialize(_action, success = false)
    @success = success
    @errors = Errors.new
  end

  class Errors
    attr_reader :all

    def add(place, text)
      (@all ||= []) << [place, text]
    end
  end
end

class NewPostManager
  attr_reader :user, :args

  def self.add_handler(_priority, &block)
    @handler = block
  end

  def self.handler
    @handler
  end

  def initialize(user, args)
    @user = user
    @args = args
  end

  def enqueue(reason)
    "queued: #{reason}"
  end
end

User = Struct.new(:staff) do
  def staff?
    staff
  end
end

def after_initialize
  yield
end

load File.expand_path("../../examples/discourse/plugin.rb", __dir__)

def outcome(user, text)
  result = NewPostManager.handler.call(NewPostManager.new(user, { raw: text }))
  result.is_a?(NewPostResult) ? { refused: result.errors.all, success: result.success } : result
end

ARGV.each { |text| puts JSON.generate([outcome(User.new(false), text)]) }
puts JSON.generate([outcome(User.new(true), ARGV.first)])
