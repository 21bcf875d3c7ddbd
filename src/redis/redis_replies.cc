#include "redis/redis_replies.h"

#include <hiredis/hiredis.h>

#include <new>

namespace escapement {
namespace {

// Of hiredis only the parser of replies is used. Its own connections have no total deadline, cannot be interrupted and
// raise SIGPIPE in the host program.
RedisReply Convert(const redisReply& reply) {
  RedisReply result;
  switch (reply.type) {
    case REDIS_REPLY_INTEGER:
      result.kind = RedisReply::Kind::kInteger;
      result.integer = reply.integer;
      break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      result.kind = RedisReply::Kind::kText;
      result.text.assign(reply.str, static_cast<std::size_t>(reply.len));
      break;
    case REDIS_REPLY_ERROR:
      result.kind = RedisReply::Kind::kError;
      result.text.assign(reply.str, static_cast<std::size_t>(reply.len));
      break;
    case REDIS_REPLY_ARRAY:
      result.kind = RedisReply::Kind::kArray;
      for (std::size_t i = 0; i < reply.elements; ++i) result.elements.push_back(Convert(*reply.element[i]));
      break;
    default: break;
  }
  return result;
}

}  // namespace

void RedisReplies::Free::operator()(redisReader* reader) const { redisReaderFree(reader); }

RedisReplies::RedisReplies() : reader_(redisReaderCreate()) {
  if (reader_ == nullptr) throw std::bad_alloc();
}

void RedisReplies::Feed(std::string_view bytes) { redisReaderFeed(reader_.get(), bytes.data(), bytes.size()); }

Result<std::optional<RedisReply>> RedisReplies::Next() {
  void* raw = nullptr;
  if (redisReaderGetReply(reader_.get(), &raw) != REDIS_OK) {
    return Fail(Code::kInternal, "the reply is not Redis's protocol");
  }
  if (raw == nullptr) return std::nullopt;
  RedisReply reply = Convert(*static_cast<const redisReply*>(raw));
  freeReplyObject(raw);
  return reply;
}

}  // namespace escapement
