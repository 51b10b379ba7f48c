import { Button, DatePicker, Form, Input, InputNumber, Layout, Table } from "antd";
import { useMemo, useState } from "react";
import { createRoot } from "react-dom/client";

import { type Payment, type Total, totals } from "./ledger";

const columns = [
  { title: "To", dataIndex: "to" },
  { title: "Payments", dataIndex: "payments" },
  { title: "Sum", dataIndex: "cents", render: (cents: number) => (cents / 100).toFixed(2) },
];

interface Written {
  day: { format(as: string): string };
  to: string;
  amount: number;
}

export function Page() {
  const [payments, setPayments] = useState<Payment[]>([]);
  const rows = useMemo(() => totals(payments), [payments]);
  const add = ({ day, to, amount }: Written) => {
    const payment = { day: day.format("YYYY-MM-DD"), to, cents: Math.round(amount * 100) };
    setPayments((before) => [...before, payment]);
  };
  return (
    <Layout>
      <Form layout="inline" onFinish={add}>
        <Form.Item name="day" rules={[{ required: true }]}>
          <DatePicker />
        </Form.Item>
        <Form.Item name="to" rules={[{ required: true }]}>
          <Input placeholder="to" />
        </Form.Item>
        <Form.Item name="amount" rules={[{ required: true }]}>
          <InputNumber precision={2} />
        </Form.Item>
        <Button htmlType="submit">Add</Button>
      </Form>
      <Table<Total> rowKey="to" columns={columns} dataSource={rows} />
    </Layout>
  );
}

const page = document.getElementById("page");
if (page !== null) createRoot(page).render(<Page />);
