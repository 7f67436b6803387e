;; Counts requests in a global and in memory, and answers with both digits: 11, if every request has a fresh instance.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (global $count (mut i32) (i32.const 48))
  (data (i32.const 0) "\r\n00")
  (func (export "footloose_handle") (param i32 i32) (result i64)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store8 (i32.const 2) (global.get $count))
    (i32.store8 (i32.const 3) (i32.add (i32.load8_u (i32.const 3)) (i32.const 1)))
    (i64.const 4)))
