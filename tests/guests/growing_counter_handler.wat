;; Counts its requests, and grows by 60 pages at the first.
(module
  (memory (export "memory") 1)
  (func (export "footloose_alloc") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 0) "\r\n0")
  (func (export "footloose_handle") (param i32 i32) (result i64)
    (if (i32.eq (i32.load8_u (i32.const 2)) (i32.const 0x30)) (then (drop (memory.grow (i32.const 60)))))
    (i32.store8 (i32.const 2) (i32.add (i32.load8_u (i32.const 2)) (i32.const 1)))
    (i64.const 3)))
