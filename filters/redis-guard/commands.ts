// What redis-guard knows of commands: which names a metric may hold, and where their keys are.

/** Where the keys of a command are: nowhere, its first argument, every argument, every other one. */
export type Keys = "none" | "first" | "all" | "pairs";

const NONE = `ACL ASKING AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DBSIZE DEBUG DISCARD ECHO EVAL EVALSHA EXEC
  FAILOVER FCALL FCALL_RO FLUSHALL FLUSHDB FUNCTION HELLO INFO KEYS LASTSAVE LATENCY LOLWUT MEMORY MODULE MONITOR MULTI
  PING PSUBSCRIBE PUBLISH PUBSUB PUNSUBSCRIBE QUIT RANDOMKEY READONLY READWRITE REPLICAOF RESET ROLE SAVE SCAN SCRIPT
  SELECT SHUTDOWN SLAVEOF SLOWLOG SPUBLISH SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE SWAPDB TIME UNSUBSCRIBE UNWATCH WAIT XREAD
  XREADGROUP`;
const FIRST = `APPEND BITCOUNT BITFIELD BITPOS BLPOP BRPOP COPY DECR DECRBY DUMP EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST
  GEOHASH GEOPOS GEORADIUS GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HEXISTS HGET HGETALL HINCRBY
  HINCRBYFLOAT HKEYS HLEN HMGET HMSET HRANDFIELD HSCAN HSET HSETNX HSTRLEN HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT
  LLEN LMOVE LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MOVE PERSIST PEXPIRE PEXPIREAT PFADD PSETEX PTTL RENAME
  RENAMENX RESTORE RPOP RPOPLPUSH RPUSH RPUSHX SADD SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER SMEMBERS SMISMEMBER
  SMOVE SORT SPOP SRANDMEMBER SREM SSCAN STRLEN SUBSTR TTL TYPE XACK XADD XCLAIM XDEL XLEN XPENDING XRANGE XREVRANGE
  XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZPOPMAX ZPOPMIN ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREM
  ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE`;
const ALL = "DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION SUNIONSTORE TOUCH UNLINK WATCH";
const PAIRS = "MSET MSETNX";

const TABLE: ReadonlyMap<string, Keys> = new Map([
  ...rows(NONE, "none"),
  ...rows(FIRST, "first"),
  ...rows(ALL, "all"),
  ...rows(PAIRS, "pairs"),
]);

function rows(names: string, keys: Keys): readonly (readonly [string, Keys])[] {
  return names.split(/\s+/u).map((name) => [name, keys] as const);
}

/** A command's name as a label: a client may send any, and each would be a series of its own. */
export function labelOf(name: string): string {
  return TABLE.has(name) ? name.toLowerCase() : "other";
}

/** How many keys a command of so many arguments has. */
export function countKeys(name: string, args: number): number {
  switch (TABLE.get(name)) {
    case "first":
      return Math.min(1, args);
    case "all":
      return args;
    case "pairs":
      return Math.floor(args / 2);
    case "none":
    case undefined:
      return 0;
  }
}
